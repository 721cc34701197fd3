// Command specjson writes openapi.yaml as the JSON that a node serves at
// /openapi.json, with the members in the same order.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: specjson openapi.yaml openapi.json")
		os.Exit(2)
	}
	if err := convert(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "specjson:", err)
		os.Exit(1)
	}
}

func convert(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	var out bytes.Buffer
	if err := write(&out, doc.Content[0]); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	out.WriteByte('\n')
	return os.WriteFile(to, out.Bytes(), 0o644)
}

func write(out *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.MappingNode:
		return writeList(out, n, '{', '}', 2)
	case yaml.SequenceNode:
		return writeList(out, n, '[', ']', 1)
	case yaml.ScalarNode:
		var v any
		if err := n.Decode(&v); err != nil {
			return err
		}
		return writeJSON(out, v)
	}
	return fmt.Errorf("line %d: aliases and anchors are not supported", n.Line)
}

// writeList writes the children of a mapping (step 2: key and value) or of a
// sequence (step 1).
func writeList(out *bytes.Buffer, n *yaml.Node, open, end byte, step int) error {
	out.WriteByte(open)
	for i := 0; i < len(n.Content); i += step {
		if i > 0 {
			out.WriteByte(',')
		}
		if step == 2 {
			if err := writeJSON(out, n.Content[i].Value); err != nil {
				return err
			}
			out.WriteByte(':')
		}
		if err := write(out, n.Content[i+step-1]); err != nil {
			return err
		}
	}
	out.WriteByte(end)
	return nil
}

func writeJSON(out *bytes.Buffer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	out.Truncate(out.Len() - 1) // Encode's newline
	return nil
}
