package web_test

import (
	"context"
	"fmt"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// withheld keeps every answer of the API from the page until it is released.
const withheld = `(() => {
	const ask = window.fetch;
	const released = new Promise((done) => { window.release = done; });
	window.fetch = async (...request) => {
		const answer = await ask(...request);
		await released;
		return answer;
	};
})()`

// places are those of what can be pressed above a view's data: "name x,y".
const places = `[...document.querySelectorAll("header.top :is(a, button), .title :is(a, button), .tabs a, .bar button")]
	.filter((e) => e.offsetParent !== null).map((e) => {
		const box = e.getBoundingClientRect();
		return e.innerText + " " + Math.round(box.right) + "," + Math.round(box.top);
	})`

// with has the page run a script before its own, while do runs.
func (p *tab) with(script string, do func()) {
	p.t.Helper()
	var added page.ScriptIdentifier
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		answer, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument,
			page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		added = answer.Identifier
		return err
	}))
	defer p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.RemoveScriptToEvaluateOnNewDocument,
			page.RemoveScriptToEvaluateOnNewDocumentParams{Identifier: added})
		return err
	}))
	do()
}

// steady compares where buttons and links are before a view has its data with
// where they are after: what someone aims at must not become something else.
func (s *site) steady() {
	s.expect("404")
	s.with(withheld, func() {
		for view, text := range views {
			s.show(view)
			s.await(`document.querySelector("main") && window.release`)
			before := value[[]string](s.tab, places)
			s.do(chromedp.Evaluate[chromedp.Void](`release()`))
			s.awaitText(text)
			after := make(map[string]bool)
			for _, place := range value[[]string](s.tab, places) {
				after[place] = true
			}
			for _, place := range before {
				if !after[place] {
					s.t.Errorf("%q: %s moved: %v", view, place, after)
				}
			}
		}
	})
	s.steadyReset()
}

// steadyReset presses twice where "Preview" is: the second is a preview, too.
func (s *site) steadyReset() {
	s.show("groups/workers")
	s.awaitLoaded()
	s.press("Reset offsets")
	s.await(`document.querySelector("dialog[open]")`)
	const right = `Math.round([...document.querySelectorAll("dialog footer button")]
		.find((e) => e.innerText === "%s").getBoundingClientRect().right)`
	at := func(name string) int { return value[int](s.tab, fmt.Sprintf(right, name)) }
	closing, preview := at("Close"), at("Preview")
	s.press("Preview")
	s.await(`document.querySelector("[data-move]")`)
	if at("Preview") != preview {
		s.t.Error("Preview moved, with Reset in its place")
	}
	s.choose("to", "offset") // which lacks the offset
	s.await(`document.querySelector("dialog [name=offset]") && !document.querySelector("[data-move]")`)
	if at("Close") != closing {
		s.t.Errorf("Close moved from %d to %d", closing, at("Close"))
	}
}
