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

// views are all there are, each with a text that it shows once it is loaded.
// The steps before made what is in them.
var views = map[string]string{
	"": "Nodes alive", "topics": "orders", "topics?q=none": "No topic begins", "topics/pages": "record 119",
	"topics/orders": "Choose a partition to page back",
	"topics/values?open=0&offset=0&partition=0": "12345678901234567890",
	"topics/haystack?q=needle":                  "Needle-1",
	"topics/haystack?q=nowhere":                 "No record here contains that",
	"topics/orders/partitions":                  "node",
	"topics/jobs/consumers":                     "workers",
	"topics/pages/consumers":                    "No consumer group reads this topic",
	"topics/orders/configs":                     "retention.ms",
	"topics/orders?tail=1":                      "Waiting for",
	"topics/none":                               "unknown_topic",
	"groups":                                    "workers",
	"groups/workers":                            "Coordinator",
	"groups/none":                               "unknown_group",
	"nodes":                                     "Voters",
	"nowhere":                                   "There is nothing here",
}

// dialogs are all there are: the view, and the button that opens one there.
var dialogs = map[string]string{
	"": "?", "nodes": "Copy as curl", "topics": "New topic", "topics/orders": "Write a record", "topics/pages": "Delete",
	"topics/orders/configs": "Change", "groups/workers": "Reset offsets",
	"topics/values?open=0&offset=0&partition=0": "Write again",
}

// each calls look with the name of every view and dialog while it is shown.
func (s *site) each(look func(name string)) {
	s.t.Helper()
	s.expect("404")
	for view, text := range views {
		s.show(view)
		s.awaitText(text)
		look(view)
	}
	for view, button := range dialogs {
		s.show(view)
		s.press(button)
		s.await(`document.querySelector("dialog[open]")`)
		look(view + " " + button)
	}
}

// accessible has axe-core judge every view, light and dark, dialogs too.
func (s *site) accessible() {
	for _, theme := range []string{"auto", "dark"} {
		s.show("")
		s.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`localStorage.setItem("chronik.theme", %q)`, theme)))
		s.each(func(name string) { s.judge(theme + " " + name) })
	}
	s.do(chromedp.Evaluate[chromedp.Void](`localStorage.removeItem("chronik.theme")`))
}

// narrow looks at every view and dialog on a telephone's screen: nothing may be
// wider, and nothing in a dialog beside it.
func (s *site) narrow() {
	const width = 375
	s.do(chromedp.EmulateViewport(width, 720, chromedp.EmulateMobile))
	defer s.do(chromedp.EmulateViewport(1280, 900))
	s.each(func(name string) {
		if w := value[int](s.tab, `document.documentElement.scrollWidth`); w > width {
			s.t.Errorf("%q is %d wide", name, w)
		}
		if out := value[[]string](s.tab, outside); len(out) > 0 {
			s.t.Errorf("%q: outside of the dialog: %q", name, out)
		}
		s.shot("narrow " + strings.NewReplacer("/", " ", "?", " ").Replace(name))
	})
}

// medium looks at every view on a tablet: nothing is wider, and the frame's bar
// is one line.
func (s *site) medium() {
	const width = 768
	s.do(chromedp.EmulateViewport(width, 1024))
	defer s.do(chromedp.EmulateViewport(1280, 900))
	s.each(func(name string) {
		if w := value[int](s.tab, `document.documentElement.scrollWidth`); w > width {
			s.t.Errorf("%q is %d wide", name, w)
		}
		if h := value[int](s.tab, `document.querySelector("header.top").clientHeight`); h > 60 {
			s.t.Errorf("%q: the bar is %d high", name, h)
		}
	})
}

// unfolded presses "More" on a telephone: what it shows fits, works, and goes away.
func (s *site) unfolded() {
	const width, place = 375, `document.getElementById("place")`
	s.do(chromedp.EmulateViewport(width, 720, chromedp.EmulateMobile))
	defer s.do(chromedp.EmulateViewport(1280, 900))
	s.show("topics/pages")
	s.awaitText("record 119")
	s.await(place + `.offsetParent === null`)
	s.press("More")
	s.await(place + `.offsetParent !== null && document.querySelector(".fold").ariaExpanded === "true"`)
	const wide = `[...` + place + `.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > %d)` +
		`.map((e) => e.outerHTML)`
	if out := value[[]string](s.tab, fmt.Sprintf(wide, width-12)); len(out) > 0 {
		s.t.Errorf("beside the screen: %q", out)
	}
	s.shot("narrow unfolded")
	s.judge("unfolded")
	s.fill("offset", "3\r")
	s.await(`document.querySelector("[data-record]").dataset.record === "0/3"`)
	s.press("Less")
	s.await(place + `.offsetParent === null`)
}

// long has the longest names there can be, keys of 2,000 characters and 80
// headers: on a telephone the page is no wider, and nothing lies upon another.
func (s *site) long() {
	name := strings.Repeat("long.topic_name-", 16)[:249]
	s.topic(name, 2)
	headers := make([]string, 80)
	for i := range headers {
		headers[i] = fmt.Sprintf(`{"name":"%s-%d","value":"%s"}`, strings.Repeat("h", i), i, strings.Repeat("v", 3*i))
	}
	s.call("POST", "/v1/topics/"+name+"/batches", fmt.Sprintf(
		`{"records":[{"partition":0,"key":%q,"value":"x","headers":[%s]}]}`,
		strings.Repeat("K", 2000), strings.Join(headers, ",")))
	s.do(chromedp.EmulateViewport(375, 720, chromedp.EmulateMobile))
	defer s.do(chromedp.EmulateViewport(1280, 900))
	for _, view := range []string{"topics?q=long", "topics/" + name, "topics/" + name + "?partition=0&offset=0&open=0"} {
		s.show(view)
		s.await(`document.querySelector("[data-row]")`)
		s.shot("narrow long")
		if w := value[int](s.tab, `document.documentElement.scrollWidth`); w > 375 {
			s.t.Errorf("%q is %d wide", view, w)
		}
		if out := value[[]string](s.tab, overflowing); len(out) > 0 {
			s.t.Errorf("%q: wider than their cells: %q", view, out)
		}
	}
	if h := value[int](s.tab, `document.querySelector(".headers").parentElement.clientHeight`); h > 420 {
		s.t.Errorf("80 headers are %d high", h)
	}
	s.show("topics?q=long")
	s.await(`document.querySelector("[data-row]")`)
	if w := value[int](s.tab, `document.querySelector("[data-row]").closest("th").clientWidth`); w > 340 {
		s.t.Errorf("the name takes %d, so that nothing else is seen", w)
	}
}

// overflowing lists headings and links of a table that are wider than they may be.
const overflowing = `[...document.querySelectorAll("table th")].filter((e) => e.scrollWidth > e.clientWidth + 1)
	.map((e) => e.outerHTML.slice(0, 200))`

// outside lists what an open dialog holds but does not show.
const outside = `(() => {
	const dialog = document.querySelector("dialog[open]"), box = dialog?.getBoundingClientRect();
	if (!dialog) return [];
	return [dialog, ...dialog.querySelectorAll(":not(option, datalist)")].filter((e) => {
		const own = e.getBoundingClientRect();
		return own.left < Math.max(0, box.left) || own.right > Math.min(innerWidth, box.right) + 1;
	}).map((e) => e.outerHTML.slice(0, 200));
})()`

// judge fails for each violation on the page as it is.
func (p *tab) judge(what string) {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](axe + "; void 0"))
	ctx, cancel := p.within()
	defer cancel()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]violation](
		`axe.run().then((r) => r.violations)`, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
	for _, v := range found {
		var where strings.Builder
		for _, n := range v.Nodes[:min(3, len(v.Nodes))] {
			fmt.Fprintf(&where, "\n  %.200s\n  %s", n.HTML, n.FailureSummary)
		}
		p.t.Errorf("%s: %s (%s, %s)%s", what, v.Help, v.ID, v.Impact, where.String())
	}
}
