package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// curl is a command of the documentation, understood as far as it uses curl.
type curl struct {
	method  string
	url     string
	body    []byte
	header  http.Header
	streams bool // -N: the answer does not end by itself
}

// parseCurl reads a line as a shell would split it. The files of @file are
// below dir.
func parseCurl(line, dir string) (curl, error) {
	words, err := splitWords(line)
	if err != nil {
		return curl{}, err
	}
	c := curl{header: make(http.Header)}
	for i := 1; i < len(words); i++ {
		argument := func() string { i++; return words[min(i, len(words)-1)] }
		switch word := words[i]; word {
		case "-N":
			c.streams = true
		case "-i", "-s":
		case "-X":
			c.method = argument()
		case "-H":
			name, value, _ := strings.Cut(argument(), ": ")
			c.header.Add(name, value)
		case "-d", "--data-binary", "--json":
			if err := c.data(word, argument(), dir); err != nil {
				return c, err
			}
		default:
			if strings.HasPrefix(word, "-") || c.url != "" {
				return c, fmt.Errorf("%q is not understood in %q", word, line)
			}
			c.url = word
		}
	}
	if c.method == "" {
		c.method = http.MethodGet
	}
	return c, nil
}

// data sets the body and what curl implies by it.
func (c *curl) data(flag, text, dir string) error {
	c.body = []byte(text)
	if name, file := strings.CutPrefix(text, "@"); file && flag != "--json" {
		var err error
		if c.body, err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	kind := "application/x-www-form-urlencoded"
	if flag == "--json" {
		kind = "application/json"
		c.header.Set("Accept", kind)
	}
	if c.header.Get("Content-Type") == "" {
		c.header.Set("Content-Type", kind)
	}
	if c.method == "" {
		c.method = http.MethodPost
	}
	return nil
}

// splitWords splits at spaces outside of quotes, as a shell does for the lines
// that documentation has.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	quote, open := rune(0), false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, open = r, true
		case r == ' ' && (open || word.Len() > 0):
			words = append(words, word.String())
			word.Reset()
			open = false
		case r == ' ':
		default:
			word.WriteRune(r)
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote is not closed in %q", line)
	}
	if open || word.Len() > 0 {
		words = append(words, word.String())
	}
	return words, nil
}

// do sends the request to the node at address instead of localhost:8080.
func (c curl) do(ctx context.Context, address string) (*http.Response, error) {
	target := strings.Replace(c.url, "localhost:8080", address, 1)
	req, err := http.NewRequestWithContext(ctx, c.method, "http://"+target, bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	req.Header = c.header.Clone()
	return http.DefaultClient.Do(req)
}

// text runs a command that ends and returns the body.
func (c curl) text(t *testing.T, address string) string {
	t.Helper()
	resp, err := c.do(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Errorf("curl %s: %s: %s, %v", c.url, resp.Status, body, err)
	}
	return string(body)
}

func TestParseCurl(t *testing.T) {
	c, err := parseCurl(`curl -N -d 'a b' -H "X: y z" "localhost:8080/v1/x?a=1&b='"`, ".")
	if err != nil || c.method != "POST" || string(c.body) != "a b" || c.header.Get("X") != "y z" || !c.streams ||
		c.url != "localhost:8080/v1/x?a=1&b='" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []string{"curl 'x", "curl --frobnicate x", "curl x y", "curl -d @/does/not/exist x"} {
		if c, err := parseCurl(bad, "/"); err == nil {
			t.Errorf("%q was taken for %+v", bad, c)
		}
	}
}
