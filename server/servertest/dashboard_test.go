package servertest

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// panel is what the dashboard's test looks at.
type panel struct {
	ID          int
	Type, Title string
	Description string
	Datasource  struct{ UID string }
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct{ RefID, Expr, LegendFormat string }
	FieldConfig struct{ Defaults struct{ Unit string } }
}

// overlaps tells whether two panels share a place on the dashboard.
func (p *panel) overlaps(q *panel) bool {
	a, b := p.GridPos, q.GridPos
	return a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H
}

// Grafana takes the dashboard: panels have ids and places of their own, a unit,
// the chosen data source, and queries that only use variables that there are.
func TestDashboard(t *testing.T) {
	raw, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title, UID    string
		SchemaVersion int
		Panels        []panel
		Templating    struct{ List []struct{ Name, Type string } }
	}
	if err := json.Unmarshal(raw, &board); err != nil {
		t.Fatal(err)
	}
	if board.UID != "chronik" || board.Title == "" || board.SchemaVersion < 36 || len(board.Panels) < 40 {
		t.Errorf("uid %q, title %q, schema %d, %d panels", board.UID, board.Title, board.SchemaVersion, len(board.Panels))
	}
	known := []string{"__rate_interval", "__range"}
	for i, v := range board.Templating.List {
		if i == 0 && v.Type != "datasource" {
			t.Errorf("the first variable is %s: the others ask the data source", v.Name)
		}
		known = append(known, v.Name)
	}
	for i := range board.Panels {
		p := &board.Panels[i]
		for j := range board.Panels[:i] {
			if q := &board.Panels[j]; p.ID == q.ID || p.overlaps(q) {
				t.Errorf("panels %q and %q have one id or place", q.Title, p.Title)
			}
		}
		checkPanel(t, p, known)
	}
}

func checkPanel(t *testing.T, p *panel, variables []string) {
	t.Helper()
	if g := p.GridPos; p.ID < 1 || p.Title == "" || g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
		t.Errorf("panel %d, %q: no id or title, or out of the grid: %+v", p.ID, p.Title, g)
	}
	if p.Type == "row" {
		return
	}
	if len(p.Targets) == 0 || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" {
		t.Errorf("%q lacks a query, a unit or the chosen data source", p.Title)
	}
	refs := map[string]bool{}
	for _, q := range p.Targets {
		if q.RefID == "" || refs[q.RefID] {
			t.Errorf("%q: query %q has another's name, or none", p.Title, q.RefID)
		}
		refs[q.RefID] = true
		if p.Type == "timeseries" && q.LegendFormat == "" {
			t.Errorf("%q: %s has no legend", p.Title, q.Expr)
		}
		if !strings.Contains(q.Expr, `job=~"$job"`) {
			t.Errorf("%q: %s is not of the chosen job", p.Title, q.Expr)
		}
		for _, v := range used(q.Expr) {
			if !slices.Contains(variables, v) {
				t.Errorf("%q: there is no $%s: %s", p.Title, v, q.Expr)
			}
		}
	}
}

// used are the variables in an expression.
func used(expr string) (names []string) {
	for i, rest := range strings.Split(expr, "$") {
		if i > 0 {
			rest = strings.TrimPrefix(rest, "{")
			end := strings.IndexFunc(rest, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') })
			if end < 0 {
				end = len(rest)
			}
			names = append(names, rest[:end])
		}
	}
	return names
}
