package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// maxFileBytes bounds the YAML file; a real one has some hundred bytes.
const maxFileBytes = 1 << 20

// ErrFile marks every problem of the YAML file; its text names file and line.
var ErrFile = errors.New("configuration file")

// BeforeResolve loads the file named by --config or CHRONIK_CONFIG, so that it
// supplies what neither a flag nor the environment has set.
func (c *Config) BeforeResolve(ctx *kong.Context) error {
	flags := ctx.Flags()
	at := slices.IndexFunc(flags, func(f *kong.Flag) bool { return f.Name == "config" })
	if at < 0 {
		return nil
	}
	path, _ := ctx.FlagValue(flags[at]).(string)
	if path == "" {
		return nil
	}
	names := make([]string, 0, len(flags))
	for _, f := range flags {
		if f.Name != "config" && strings.HasPrefix(strings.Join(f.Tag.Envs, ""), "CHRONIK_") {
			names = append(names, f.Name)
		}
	}
	values, err := readFile(path, names)
	if err != nil {
		return err
	}
	ctx.AddResolver(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
		value, ok := values[f.Name]
		if !ok || envSet(f) {
			return nil, nil
		}
		return value, nil
	}))
	return nil
}

// envSet says whether the environment has a value for f. Kong would let a
// resolver win over it.
func envSet(f *kong.Flag) bool {
	return slices.ContainsFunc(f.Tag.Envs, func(name string) bool {
		_, ok := os.LookupEnv(name)
		return ok
	})
}

// readFile returns the file's values by flag name, as a command line would
// give them: a list is joined with commas.
func readFile(path string, names []string) (map[string]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%w %s: %d bytes, at most %d are read", ErrFile, path, info.Size(), maxFileBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	values, err := parseFile(text, names)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrFile, path, err)
	}
	return values, nil
}

func parseFile(text []byte, names []string) (map[string]string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	values := make(map[string]string)
	if len(doc.Content) == 0 {
		return values, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: write one \"name: value\" per line", root.Line)
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if !slices.Contains(names, key.Value) {
			return nil, fmt.Errorf("line %d: unknown key %q, did you mean %q?",
				key.Line, key.Value, Nearest(key.Value, names))
		}
		if _, dup := values[key.Value]; dup {
			return nil, fmt.Errorf("line %d: key %q appears twice", key.Line, key.Value)
		}
		text, err := scalar(value)
		if err != nil {
			return nil, fmt.Errorf("line %d: key %q: %w", value.Line, key.Value, err)
		}
		if text != nil {
			values[key.Value] = *text
		}
	}
	return values, nil
}

// scalar gives a value's text; nil for an empty one, which counts as unset.
func scalar(n *yaml.Node) (*string, error) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil, nil
	case n.Kind == yaml.ScalarNode:
		return &n.Value, nil
	case n.Kind == yaml.SequenceNode:
		items := make([]string, 0, len(n.Content))
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode || strings.Contains(item.Value, ",") {
				return nil, errors.New("a list holds plain values without commas")
			}
			items = append(items, item.Value)
		}
		joined := strings.Join(items, ",")
		return &joined, nil
	default:
		return nil, errors.New("write a plain value or a list")
	}
}
