// Package check decodes what deploy/ has for other programs with those
// programs' own types: a field that is misspelt is an error. It is a module of
// its own, so that the node does not depend on them. "make helm" runs it.
package check

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// chart is what "helm template" rendered, strictly decoded.
type chart struct {
	sets     []appsv1.StatefulSet
	services []corev1.Service
	budgets  []policyv1.PodDisruptionBudget
}

func decode[T any](t *testing.T, doc []byte, list *[]T) {
	t.Helper()
	// yaml.UnmarshalStrict takes names of any case; the API server does not.
	text, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	var v T
	if faults, err := json.UnmarshalStrict(text, &v); err != nil || len(faults) > 0 {
		t.Fatalf("%v %v in\n%s", err, faults, doc)
	}
	*list = append(*list, v)
}

func load(t *testing.T) (c chart) {
	t.Helper()
	path := os.Getenv("CHRONIK_CHART")
	if path == "" {
		t.Skip(`"make helm" renders the chart and names it in CHRONIK_CHART`)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range bytes.Split(raw, []byte("\n---\n")) {
		var k struct{ Kind string }
		if err := yaml.Unmarshal(doc, &k); err != nil {
			t.Fatal(err)
		}
		switch k.Kind {
		case "":
		case "StatefulSet":
			decode(t, doc, &c.sets)
		case "Service":
			decode(t, doc, &c.services)
		case "PodDisruptionBudget":
			decode(t, doc, &c.budgets)
		default:
			t.Errorf("nothing checks a %s", k.Kind)
		}
	}
	if len(c.sets) == 0 || len(c.services) != 2 || len(c.budgets) != 1 {
		t.Fatalf("%d sets, %d services, %d budgets", len(c.sets), len(c.services), len(c.budgets))
	}
	return c
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

func TestChart(t *testing.T) {
	c := load(t)
	var nodes *corev1.Service
	for i := range c.services {
		if c.services[i].Spec.ClusterIP == corev1.ClusterIPNone {
			nodes = &c.services[i]
		}
	}
	if nodes == nil || !nodes.Spec.PublishNotReadyAddresses {
		t.Fatal("no headless service that publishes nodes before they are ready: founders can't find each other")
	}
	if b := c.budgets[0].Spec.MaxUnavailable; b == nil || b.IntValue() != 1 {
		t.Errorf("disruption budget %v, want 1", b)
	}
	for i := range c.sets {
		s := &c.sets[i]
		labels := s.Spec.Template.Labels
		if !selects(s.Spec.Selector.MatchLabels, labels) || !selects(c.budgets[0].Spec.Selector.MatchLabels, labels) {
			t.Errorf("%s: a selector does not match the pods' labels %v", s.Name, labels)
		}
		for _, service := range c.services {
			if !selects(service.Spec.Selector, labels) {
				t.Errorf("service %s does not match the pods of %s", service.Name, s.Name)
			}
		}
		if s.Spec.ServiceName != nodes.Name {
			t.Errorf("%s: pods are named by %q, want %q", s.Name, s.Spec.ServiceName, nodes.Name)
		}
		checkPod(t, s, nodes.Name)
	}
}

func checkPod(t *testing.T, s *appsv1.StatefulSet, names string) {
	t.Helper()
	pod := &s.Spec.Template.Spec
	c := &pod.Containers[0]
	for _, arg := range c.Args {
		name, list, _ := strings.Cut(arg, "=")
		if name != "--peers" {
			continue
		}
		if s.Spec.PodManagementPolicy != appsv1.ParallelPodManagement {
			t.Errorf("%s: founders are started one after the other, but wait for each other", s.Name)
		}
		for _, peer := range strings.Split(list, ",") {
			if !strings.Contains(peer, "@"+s.Name+"-") || !strings.Contains(peer, "."+names+".") {
				t.Errorf("%s: peer %s is no name of service %s", s.Name, peer, names)
			}
		}
	}
	if !slices.Contains(c.Args, "--insecure") {
		t.Errorf("%s does not say --insecure", s.Name)
	}
	checkGrace(t, s)
	sc, pc := c.SecurityContext, pod.SecurityContext
	if sc == nil || !*sc.ReadOnlyRootFilesystem || *sc.AllowPrivilegeEscalation ||
		!slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("%s: container %+v", s.Name, sc)
	}
	if pc == nil || !*pc.RunAsNonRoot || *pc.RunAsUser != 65532 || *pc.FSGroup != 65532 ||
		pc.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: pod %+v", s.Name, pc)
	}
	for want, p := range map[string]*corev1.Probe{"/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if p == nil || p.HTTPGet.Path != want || p.HTTPGet.Port.String() != "http" {
			t.Errorf("%s: probe %+v, want %s", s.Name, p, want)
		}
	}
	if c.Resources.Limits.Memory().IsZero() {
		t.Errorf("%s has no memory limit, which a node fits itself into", s.Name)
	}
	if v := s.Spec.VolumeClaimTemplates; len(v) != 1 || v[0].Name != c.VolumeMounts[0].Name {
		t.Errorf("%s: volumes %v, mounts %v", s.Name, v, c.VolumeMounts)
	}
}

func checkGrace(t *testing.T, s *appsv1.StatefulSet) {
	t.Helper()
	pod := &s.Spec.Template.Spec
	for _, arg := range pod.Containers[0].Args {
		if v, ok := strings.CutPrefix(arg, "--shutdown-timeout="); ok {
			timeout, err := time.ParseDuration(v)
			if g := pod.TerminationGracePeriodSeconds; err != nil || g == nil || float64(*g) <= timeout.Seconds() {
				t.Errorf("%s: a shutdown of %v (%v) is cut short", s.Name, timeout, err)
			}
			return
		}
	}
	t.Errorf("%s has no --shutdown-timeout", s.Name)
}

func TestCompose(t *testing.T) {
	o, err := cli.NewProjectOptions([]string{"../compose.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range p.Services {
		if s.Build == nil && !strings.ContainsAny(s.Image, ":@") || strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s: image %q is not pinned", name, s.Image)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q", name, port.Published, port.HostIP)
			}
		}
	}
}
