package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// How much the short form takes.
const (
	shortFiles = 1200
	shortLines = 150_000
)

// file is one file of the input.
type file struct {
	path string // below the source, with slashes; the record's key
	body []byte
}

// input is what is fed.
type input struct {
	files     []file
	lines     [][]byte // of all .go files, without their line feeds
	fileBytes int64
	lineBytes int64
	short     bool
}

// collect reads the whole source into memory: it is some hundred megabytes.
func collect(source string, short bool) (input, error) {
	in := input{short: short}
	err := filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		in.add(file{path: filepath.ToSlash(below), body: body})
		return nil
	})
	in.shorten()
	for _, f := range in.files {
		in.fileBytes += int64(len(f.body))
	}
	for _, l := range in.lines {
		in.lineBytes += int64(len(l))
	}
	return in, err
}

func (in *input) add(f file) {
	in.files = append(in.files, f)
	if !strings.HasSuffix(f.path, ".go") || len(f.body) == 0 {
		return
	}
	// A last line without a line feed counts; a line feed at the end does not
	// begin another line. That is how chronik produce reads, too.
	in.lines = append(in.lines, bytes.Split(bytes.TrimSuffix(f.body, []byte("\n")), []byte("\n"))...)
}

// shorten keeps an evenly spread part, so that odd files stay among it.
func (in *input) shorten() {
	if !in.short {
		return
	}
	if step := len(in.files)/shortFiles + 1; step > 1 {
		var some []file
		for i := 0; i < len(in.files); i += step {
			some = append(some, in.files[i])
		}
		in.files = some
	}
	in.lines = in.lines[:min(len(in.lines), shortLines)]
}
