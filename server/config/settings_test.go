package config

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSettingsSurviveAFile(t *testing.T) {
	c := Default()
	c.NodeID, c.AllowedHosts, c.JournalBytes, c.AutoCreateTopics = 9, []string{"a", "b"}, 3<<20, false
	text, err := c.Settings().YAML()
	if err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, string(text))
	got, err := parse(t, "--config", file)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if diff := cmp.Diff(c.Settings(), got.Settings()); diff != "" {
		t.Errorf("config print | config check differ (-want +got):\n%s", diff)
	}
}

func TestSettingsAsJSON(t *testing.T) {
	c := Default()
	text, err := json.Marshal(c.Settings())
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	if len(object) != len(c.Settings()) || object["max-record-bytes"] != "1MiB" || object["shutdown-timeout"] != "30s" {
		t.Errorf("got %s", text)
	}
	if !bytes.HasPrefix(text, []byte(`{"node-id":1,"data-dir":"./data"`)) {
		t.Errorf("order was lost: %.80s", text)
	}
}
