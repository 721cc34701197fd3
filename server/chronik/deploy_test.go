package main

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"github.com/chroniklog/chronik/server/config"
)

// settings are the flags of "chronik serve" and their variables.
func settings(t *testing.T) (flags, variables []string) {
	t.Helper()
	var c config.Config
	for _, f := range kong.Must(&c).Model.Flags {
		flags = append(flags, f.Name)
		variables = append(variables, f.Envs...)
	}
	return flags, variables
}

var (
	flagText     = regexp.MustCompile(`--([a-z][a-z-]+)`)
	variableText = regexp.MustCompile(`CHRONIK_[A-Z_]+`)
	comment      = regexp.MustCompile(`(?m)^\s*#.*$`)
)

// Whatever is deployed gives only flags and variables that there are.
func TestDeployedSettings(t *testing.T) {
	flags, variables := settings(t)
	var files []string
	for _, root := range []string{"../../Dockerfile", "../../deploy/compose.yaml", "../../deploy/systemd", "../../deploy/helm"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && filepath.Base(path) != "NOTES.txt" {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// What is other programs', and Docker's own.
	others := []string{"config", "build-arg", "build", "now", "chown", "from", "interval", "enable-feature", "timeout", "start-period",
		"retries", "storage", "wait", "replicas", "set", "namespace"}
	seen := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := comment.ReplaceAllString(string(raw), "")
		for _, m := range flagText.FindAllStringSubmatch(text, -1) {
			if seen++; !slices.Contains(flags, m[1]) && !slices.Contains(others, m[1]) {
				t.Errorf("%s: there is no flag --%s", file, m[1])
			}
		}
		for _, name := range variableText.FindAllString(text, -1) {
			if seen++; !slices.Contains(variables, name) {
				t.Errorf("%s: there is no variable %s", file, name)
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d settings were found in %v", seen, files)
	}
}

// Nodes of the compose file listen beyond loopback and say so; nothing is
// published beyond it.
func TestComposeFile(t *testing.T) {
	raw, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Image   string
			Command []string
			Ports   []string
			Volumes []string
		}
		Volumes map[string]any
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	nodes := 0
	for name, s := range file.Services {
		if s.Image == "" || len(s.Ports) == 0 {
			t.Errorf("%s: %+v", name, s)
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s publishes %s", name, p)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if _, ok := file.Volumes[source]; !ok && !strings.HasPrefix(source, "./") {
				t.Errorf("%s has the volume %s, which is not declared", name, v)
			}
		}
		if !strings.HasPrefix(name, "chronik-") {
			continue
		}
		nodes++
		if !slices.Contains(s.Command, "--insecure") {
			t.Errorf("%s does not say --insecure: %v", name, s.Command)
		}
		var c config.Config
		parser := kong.Must(&c, kong.Exit(func(int) {}))
		if _, err := parser.Parse(s.Command[1:]); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if nodes != 3 {
		t.Errorf("%d nodes", nodes)
	}
}

// The demo does not take another process for its node.
func TestDemoBesideAnother(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl")
	}
	var asked []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
	}))
	address := other.Listener.Addr().String()
	demo := exec.CommandContext(t.Context(), bash, "../../deploy/demo")
	demo.Env = append(os.Environ(), "CHRONIK_HTTP="+address, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1")
	said, err := demo.CombinedOutput()
	other.Close()
	if err == nil || !strings.Contains(string(said), address+" is in use") {
		t.Errorf("%v: %s", err, said)
	}
	if !slices.Equal(asked, []string{"GET /"}) {
		t.Errorf("the other process was asked %q", asked)
	}
}

// A cluster on one machine begins beside a node of the default settings.
func TestClusterPorts(t *testing.T) {
	script, err := os.ReadFile("../../deploy/cluster")
	if err != nil {
		t.Fatal(err)
	}
	var c config.Config
	ports := regexp.MustCompile(`--(http|kafka|peer) "127\.0\.0\.1:(\d+)\$1"`).FindAllStringSubmatch(string(script), -1)
	if len(ports) != 3 {
		t.Fatalf("the script gives %q", ports)
	}
	for _, f := range kong.Must(&c).Model.Flags {
		for _, p := range ports {
			for id := range 3 {
				if f.Default == "127.0.0.1:"+p[2]+strconv.Itoa(id+1) {
					t.Errorf("node %d: --%s is the default of --%s, %s", id+1, p[1], f.Name, f.Default)
				}
			}
		}
	}
}
