package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// command is a line of a shell block and the output that the block shows.
type command struct {
	line string
	want []string // lines after it that begin with "# "
}

// shellCommands are the commands of a document's sh blocks, in order. A comment
// shows output when it directly follows a command.
func shellCommands(t *testing.T, name string) []command {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var commands []command
	inside, follows := false, false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			inside, follows = line == "```sh", false
		case !inside || strings.TrimSpace(line) == "":
			follows = false
		case strings.HasPrefix(line, "# ") && follows:
			last := &commands[len(commands)-1]
			last.want = append(last.want, strings.TrimPrefix(line, "# "))
		case strings.HasPrefix(line, "# "):
		default:
			commands = append(commands, command{line: line})
			follows = true
		}
	}
	return commands
}

// TestReadmeWorks runs the tour of README.md on a fresh node, command by
// command, and compares what it shows.
func TestReadmeWorks(t *testing.T) {
	address := withNode(t)
	ran := 0
	for _, c := range shellCommands(t, "../../README.md") {
		switch {
		case strings.HasPrefix(c.line, "make "), strings.Contains(c.line, "localhost:9092"):
			continue // the Kafka clients of others are run by make compat
		case strings.HasPrefix(c.line, "curl "):
			runCurl(t, c, address)
		case strings.Contains(c.line, "bin/chronik "):
			runChronik(t, c)
		default:
			t.Errorf("README runs %q, which this test does not know", c.line)
		}
		ran++
	}
	if ran < 12 {
		t.Errorf("only %d commands were found", ran)
	}
}

func runCurl(t *testing.T, c command, address string) {
	t.Helper()
	parsed, err := parseCurl(c.line, "../..")
	if err != nil {
		t.Fatal(err)
	}
	if parsed.streams {
		followCurl(t, parsed, address)
		return
	}
	got := strings.TrimSuffix(parsed.text(t, address), "\n")
	if want := strings.Join(c.want, "\n"); len(c.want) > 0 && timeless(got) != timeless(want) {
		t.Errorf("%s\ngives %s\nREADME shows %s", c.line, got, want)
	}
}

// timeless replaces what differs from one run to the next.
func timeless(text string) string {
	text = regexp.MustCompile(`"timestamp":\d+`).ReplaceAllString(text, `"timestamp":0`)
	return regexp.MustCompile(`"(member|ack)":"[^"]*"`).ReplaceAllString(text, `"$1":""`)
}

// followCurl opens a live stream, writes to its topic, and waits until the
// record has come.
func followCurl(t *testing.T, c curl, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	resp, err := c.do(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("%s: %s", c.url, resp.Status)
	}
	path, _, _ := strings.Cut(c.url, "?")
	write := curl{method: "POST", url: path, body: []byte("while you watch")}
	write.text(t, address)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.Contains(lines.Text(), "while you watch") {
			return
		}
	}
	t.Errorf("%s did not show a record that was written meanwhile", c.url)
}

// runChronik runs a line that may pipe seq into chronik. Measurements are cut
// short.
func runChronik(t *testing.T, c command) {
	t.Helper()
	producer, rest, _ := strings.Cut(c.line, "bin/chronik ")
	args, err := splitWords(rest)
	if err != nil {
		t.Fatal(err)
	}
	in := ""
	if n := 0; producer != "" {
		if _, err := fmt.Sscanf(producer, "seq %d |", &n); err != nil {
			t.Fatalf("%q: %v", c.line, err)
		}
		var b strings.Builder
		for i := range n {
			fmt.Fprintln(&b, i+1)
		}
		in = b.String()
	}
	if args[0] == "bench" {
		// The topic is made by the first record, which is not to take all of the time.
		args = append(args, "--duration", "200ms", "--warmup", "1s")
	}
	if args[0] == "serve" {
		args = append(args, "--help")
	}
	got := strings.TrimSuffix(must(t, in, args...), "\n")
	if want := strings.Join(c.want, "\n"); len(c.want) > 0 && got != want {
		t.Errorf("%s\ngives %s\nREADME shows %s", c.line, got, want)
	}
}
