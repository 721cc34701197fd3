package web_test

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/chromedp/chromedp"
)

// axe is axe-core, unchanged from npm (its first lines tell version and
// licence, which is beside it). It is injected into pages under test only.
//
//go:embed testdata/axe.min.js
var axe string

// violation is what axe-core finds.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, FailureSummary string }
}

// accessible has axe-core judge every view, light and dark, dialogs too.
func (s *site) accessible() {
	for _, theme := range []string{"auto", "dark"} {
		s.show("")
		s.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`localStorage.setItem("chronik.theme", %q)`, theme)))
		for view, text := range map[string]string{
			"": "Nodes alive", "topics": "orders", "topics?q=none": "No topic begins", "topics/pages": "record 119",
			"topics/values?open=0&offset=0&partition=0": "12345678901234567890", "topics/orders/partitions": "node",
			"topics/orders/configs": "retention.ms", "topics/orders?tail=1": "Waiting for", "groups": "workers",
			"groups/workers": "Coordinator", "nodes": "Voters", "nowhere": "There is nothing here",
		} {
			s.show(view)
			s.awaitText(text)
			s.judge(theme + " " + view)
		}
		for view, button := range map[string]string{
			"topics": "New topic", "topics/orders": "Write a record", "topics/pages": "Delete",
			"groups/workers": "Reset offsets", "nodes": "Copy as curl", "": "?",
		} {
			s.show(view)
			s.press(button)
			s.await(`document.querySelector("dialog[open]")`)
			s.judge(theme + " " + view + ": " + button)
		}
	}
	s.do(chromedp.Evaluate[chromedp.Void](`localStorage.removeItem("chronik.theme")`))
}

// judge fails for each violation on the page as it is.
func (s *site) judge(what string) {
	s.t.Helper()
	s.do(chromedp.Evaluate[chromedp.Void](axe + "; void 0"))
	ctx, cancel := s.within()
	defer cancel()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]violation](
		`axe.run().then((r) => r.violations)`, chromedp.EvalAwaitPromise))
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	for _, v := range found {
		var where strings.Builder
		for _, n := range v.Nodes[:min(3, len(v.Nodes))] {
			fmt.Fprintf(&where, "\n  %.200s\n  %s", n.HTML, n.FailureSummary)
		}
		s.t.Errorf("%s: %s (%s, %s)%s", what, v.Help, v.ID, v.Impact, where.String())
	}
}
