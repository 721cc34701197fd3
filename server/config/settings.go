package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Setting is one flag's name and its value.
type Setting struct {
	Name  string
	Value any // string, bool, an integer, []string
}

// Settings is a configuration as a file would give it, in the order of the
// flags.
type Settings []Setting

// Settings lists every setting but the file's own name.
func (c *Config) Settings() Settings {
	return appendSettings(nil, reflect.ValueOf(c).Elem())
}

func appendSettings(list Settings, group reflect.Value) Settings {
	for i := range group.NumField() {
		field, value := group.Type().Field(i), group.Field(i)
		if field.Anonymous {
			list = appendSettings(list, value)
			continue
		}
		if name := field.Tag.Get("name"); name != "config" {
			list = append(list, Setting{Name: name, Value: plain(value)})
		}
	}
	return list
}

// plain gives sizes and durations the text that a flag takes.
func plain(value reflect.Value) any {
	if s, ok := value.Interface().(fmt.Stringer); ok {
		return s.String()
	}
	if list, ok := value.Interface().([]string); ok && list == nil {
		return []string{}
	}
	return value.Interface()
}

// YAML writes the settings as a file that --config accepts.
func (s Settings) YAML() ([]byte, error) {
	root := yaml.Node{Kind: yaml.MappingNode}
	for _, setting := range s {
		var key, value yaml.Node
		key.SetString(setting.Name)
		if err := value.Encode(setting.Value); err != nil {
			return nil, fmt.Errorf("encode %s: %w", setting.Name, err)
		}
		root.Content = append(root.Content, &key, &value)
	}
	return yaml.Marshal(&root)
}

// MarshalJSON writes one object in the same order.
func (s Settings) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, setting := range s {
		name, err := json.Marshal(setting.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(setting.Value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return []byte(b.String()), nil
}
