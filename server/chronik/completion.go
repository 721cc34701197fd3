package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// CompletionCmd writes a script that completes commands and flags. The script
// is made from the grammar itself, so it never lags behind it.
type CompletionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"One of ${enum}."`
}

// Help shows how to load the script.
func (CompletionCmd) Help() string {
	return `Examples:

    source <(chronik completion bash)
    source <(chronik completion zsh)
    chronik completion fish > ~/.config/fish/completions/chronik.fish`
}

// Run writes the script.
func (c CompletionCmd) Run(streams Streams, parser *kong.Kong) error {
	nodes := completionNodes(parser.Model.Node, nil)
	switch c.Shell {
	case "fish":
		return writeFish(streams.Out, nodes)
	case "zsh":
		// zsh reads bash's completion functions once told to.
		if _, err := io.WriteString(streams.Out, "autoload -U +X bashcompinit && bashcompinit\n"); err != nil {
			return err
		}
	}
	return writeBash(streams.Out, nodes)
}

// completionNode is one command: the words that lead to it, and what may
// follow.
type completionNode struct {
	path     string // "" for the root, "topic create"
	commands []*kong.Node
	flags    []*kong.Flag
}

func completionNodes(n *kong.Node, path []string) []completionNode {
	node := completionNode{path: strings.Join(path, " ")}
	var below []completionNode
	for _, child := range n.Children {
		if child.Hidden {
			continue
		}
		node.commands = append(node.commands, child)
		below = append(below, completionNodes(child, append(slices.Clone(path), child.Name))...)
	}
	for _, group := range n.AllFlags(true) {
		node.flags = append(node.flags, group...)
	}
	return append([]completionNode{node}, below...)
}

// words are what may stand after the command, commands first.
func (n completionNode) words() []string {
	var words []string
	for _, c := range n.commands {
		words = append(words, c.Name)
	}
	for _, f := range n.flags {
		words = append(words, "--"+f.Name)
	}
	return words
}

// enums are the flags with a fixed set of values.
func (n completionNode) enums() []*kong.Flag {
	return slices.DeleteFunc(slices.Clone(n.flags), func(f *kong.Flag) bool { return f.Enum == "" })
}

func writeBash(w io.Writer, nodes []completionNode) error {
	var b strings.Builder
	b.WriteString("_chronik() {\n  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} path= words= w\n")
	b.WriteString("  for w in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    case \"$path $w\" in\n")
	for _, n := range nodes[1:] {
		fmt.Fprintf(&b, "      %q) path=%q ;;\n", " "+n.path, " "+n.path)
	}
	b.WriteString("    esac\n  done\n  case \"$path:$prev\" in\n")
	for _, n := range nodes {
		for _, f := range n.enums() {
			fmt.Fprintf(&b, "    %q) words=%q ;;\n", pathKey(n.path)+":--"+f.Name, strings.Join(f.EnumSlice(), " "))
		}
	}
	b.WriteString("    *) case \"$path\" in\n")
	for _, n := range nodes {
		fmt.Fprintf(&b, "      %q) words=%q ;;\n", pathKey(n.path), strings.Join(n.words(), " "))
	}
	b.WriteString("    esac ;;\n  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n")
	b.WriteString("complete -o default -F _chronik chronik\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// pathKey is the path as the script's variable holds it: a space before each
// word.
func pathKey(path string) string {
	if path == "" {
		return ""
	}
	return " " + path
}

func writeFish(w io.Writer, nodes []completionNode) error {
	var b strings.Builder
	b.WriteString("function __chronik_at\n  set -l path\n  for w in (commandline -opc)[2..-1]\n" +
		"    string match -q -- '-*' $w; or set path $path $w\n  end\n" +
		"  set -l n (count $argv)\n  test $n -eq 0; and test (count $path) -eq 0; and return 0\n" +
		"  test $n -gt 0; and test \"$path[1..$n]\" = \"$argv\"\nend\n")
	for _, n := range nodes {
		at := "__chronik_at " + n.path
		for _, c := range n.commands {
			fmt.Fprintf(&b, "complete -c chronik -f -n %s -a %s -d %s\n", quote(at), c.Name, quote(c.Help))
		}
		for _, f := range n.flags {
			fmt.Fprintf(&b, "complete -c chronik -n %s -l %s", quote(at), f.Name)
			if f.Short != 0 {
				fmt.Fprintf(&b, " -s %c", f.Short)
			}
			if f.Enum != "" {
				fmt.Fprintf(&b, " -x -a %s", quote(strings.Join(f.EnumSlice(), " ")))
			} else if !f.IsBool() {
				b.WriteString(" -r")
			}
			fmt.Fprintf(&b, " -d %s\n", quote(f.Help))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// quote makes s one word of a shell.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
