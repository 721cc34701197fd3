package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// collectLines reads everything through readChunks.
func collectLines(t *testing.T, in io.Reader) (lines []string, err error) {
	t.Helper()
	stop := make(chan struct{})
	defer close(stop)
	chunks, free := readChunks(in, stop)
	for c := range chunks {
		if err := eachLine(c.lines, func(line []byte) error { lines = append(lines, string(line)); return nil }); err != nil {
			t.Fatal(err)
		}
		if c.err != nil {
			return lines, c.err
		}
		clear(c.lines[:cap(c.lines)]) // whoever still holds it must notice
		free <- c.lines
	}
	return lines, errors.New("the channel was closed without an end")
}

func TestChunksKeepEveryLine(t *testing.T) {
	long := strings.Repeat("x", 3*chunkBytes)
	for name, tc := range map[string]struct {
		in   string
		want []string
	}{
		"empty":       {"", nil},
		"one":         {"a\n", []string{"a"}},
		"no end":      {"a\nb", []string{"a", "b"}},
		"empty lines": {"\n\na\n\n", []string{"", "", "a", ""}},
		"CR":          {"a\r\nb\r\n", []string{"a\r", "b\r"}},
		"long":        {"a\n" + long + "\nb\n", []string{"a", long, "b"}},
		"zero bytes":  {"\x00\n\xff\n", []string{"\x00", "\xff"}},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, in := range map[string]io.Reader{
				"whole": strings.NewReader(tc.in), "half": iotest.HalfReader(strings.NewReader(tc.in)),
				"end with data": iotest.DataErrReader(strings.NewReader(tc.in)),
			} {
				got, err := collectLines(t, in)
				if !errors.Is(err, io.EOF) || strings.Join(got, "\n") != strings.Join(tc.want, "\n") || len(got) != len(tc.want) {
					t.Errorf("%s: %d lines, %v; want %d", kind, len(got), err, len(tc.want))
				}
			}
		})
	}
}

func TestChunksComeWhileTheInputPauses(t *testing.T) {
	reader, writer := io.Pipe()
	defer writer.Close()
	stop := make(chan struct{})
	defer close(stop)
	chunks, _ := readChunks(reader, stop)
	go io.WriteString(writer, "first\nhalf of the sec")
	select {
	case c := <-chunks:
		if string(c.lines) != "first\n" {
			t.Errorf("got %q", c.lines)
		}
	case <-time.After(10 * time.Second):
		t.Error("a whole line was held back")
	}
}

func TestChunksReportErrors(t *testing.T) {
	broken := errors.New("broken")
	_, err := collectLines(t, io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func FuzzChunks(f *testing.F) {
	f.Add([]byte("a\nb"), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, cut uint8) {
		at := min(int(cut), len(text))
		got, err := collectLines(t, io.MultiReader(bytes.NewReader(text[:at]), bytes.NewReader(text[at:])))
		want := strings.Split(string(text), "\n")
		if want[len(want)-1] == "" {
			want = want[:len(want)-1]
		}
		if !errors.Is(err, io.EOF) || strings.Join(got, "\n") != strings.Join(want, "\n") || len(got) != len(want) {
			t.Errorf("%q cut at %d: %q, %v", text, at, got, err)
		}
	})
}
