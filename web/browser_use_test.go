package web_test

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// sorted has a group's partitions by what they lag, which the URL keeps.
func (s *site) sorted() {
	s.topic("uneven", 4)
	for p, n := range []int{3, 9, 1, 5} {
		s.write("uneven", p, 0, n)
	}
	s.call("PUT", "/v1/groups/slow/offsets", `{"topic":"uneven","to":"earliest"}`)
	order := func(want string) {
		s.t.Helper()
		s.await(`[...document.querySelectorAll("[data-lag-of]")].map((e) => e.dataset.lagOf.at(-1)).join("") === ` +
			quoted(want))
	}
	s.show("groups/slow")
	order("0123")
	s.press("Lag")
	order("1302")
	s.await(`location.hash === "#/groups/slow?sort=lag" && document.querySelector("[aria-sort=descending]")`)
	s.judge("sorted")
	s.do(chromedp.Reload())
	order("1302")
	s.press("Lag ▾")
	order("0123")
}

// opened opens records by hand: the URL keeps which, and so does a link.
func (s *site) opened() {
	open := func(want string) {
		s.t.Helper()
		s.await(`[...document.querySelectorAll("tbody:has([aria-expanded=true])")]
			.map((e) => e.dataset.record).join() === ` + quoted(want))
	}
	s.show("topics/pages?partition=0&offset=10")
	s.awaitLoaded()
	s.press("12")
	s.press("15")
	open("0/12,0/15")
	s.await(`location.hash === "#/topics/pages?partition=0&offset=10&open=12.15"`)
	s.await(`document.querySelector("[data-record='0/12'] [data-size]").dataset.size === "11"`) // k5, record 12
	s.do(chromedp.Reload())
	open("0/12,0/15")
	s.press("12")
	open("0/15")
	s.show("topics/wide?from=earliest")
	s.awaitLoaded()
	s.press("1 / 3")
	open("1/3")
	s.do(chromedp.Reload())
	open("1/3")
	s.press("Next")
	s.await(`!location.hash.includes("open")`)
}

// focused opens every dialog by key: the focus goes in, stays in, and comes back
// to the button when Esc closes it.
func (s *site) focused() {
	s.expect("404")
	for view, button := range dialogs {
		s.show(view)
		s.awaitLoaded()
		opener := fmt.Sprintf(`[...document.querySelectorAll("button")].find((e) => e.innerText === %q)`, button)
		s.await(opener + `?.disabled === false`)
		s.do(chromedp.Evaluate[chromedp.Void](opener+`.focus()`), chromedp.KeyEvent(kb.Enter))
		s.await(`document.querySelector("dialog[open]")?.contains(document.activeElement)`)
		for range 3 {
			s.do(chromedp.KeyEvent(kb.Tab))
			if value[bool](s.tab, `document.activeElement.closest("main, header.top") !== null &&
				document.activeElement.closest("dialog") === null`) {
				s.t.Errorf("%s %s: Tab leads out of the dialog", view, button)
			}
		}
		s.do(chromedp.KeyEvent(kb.Escape))
		s.await(`!document.querySelector("dialog") && document.activeElement === ` + opener)
	}
	// Two Esc in a row, which the browser does not ask about, close it for good.
	s.show("topics")
	s.awaitLoaded()
	for range 3 {
		s.press("New topic")
		s.await(`document.activeElement.name === "name"`)
		s.do(chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent(kb.Escape))
		s.await(`!document.querySelector("dialog")`)
	}
}

// busyTail has more records come than can be shown: no drawing makes more rows
// than two times a hundred, so that the page stays free; all are there in the end.
func (s *site) busyTail() {
	s.topic("torrent", 1)
	s.show("topics/torrent?tail=1")
	s.awaitState("live")
	s.do(chromedp.Evaluate[chromedp.Void](`(() => {
		window.most = 0;
		new MutationObserver((list) => {
			const rows = list.flatMap((m) => [...m.addedNodes]).reduce((sum, e) => sum + (e.matches?.("[data-record]") ? 1
				: e.querySelectorAll?.("[data-record]").length ?? 0), 0);
			window.most = Math.max(window.most, rows);
		}).observe(document.querySelector("main"), {childList: true, subtree: true});
		window.longest = 0;
		new PerformanceObserver((list) => {
			for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
		}).observe({type: "longtask"});
	})()`))
	const total, batch = 10000, 1000
	begin := time.Now()
	for i := 0; i < total; i += batch {
		s.write("torrent", 0, i, i+batch)
	}
	took := time.Since(begin)
	s.awaitSeen(total)
	s.awaitRows("0/9999", "0/9500", 500)
	s.await(fmt.Sprintf(`document.querySelector("[data-told='%d']")`, total))
	s.t.Logf("%d records in %v: at most %d rows at once, the longest task took %v ms", total, took,
		value[int](s.tab, `most`), value[float64](s.tab, `longest`))
	if most := value[int](s.tab, `most`); most > 200 {
		s.t.Errorf("%d rows were made at once", most)
	}
}

// curlTail runs the tail's command, which shows what is written after it began.
func (s *site) curlTail() {
	sh, err := exec.LookPath("curl")
	if err != nil {
		s.t.Skip("no curl")
	}
	s.show("topics/pages?tail=1")
	s.awaitState("live")
	s.press("Copy as curl")
	s.await(`document.querySelector("dialog pre")`)
	command := value[string](s.tab, `document.querySelector("dialog pre").innerText`)
	words := sh + " -sS --max-time 20 " + strings.TrimPrefix(command, "curl ")
	run := exec.CommandContext(s.t.Context(), "sh", "-c", "exec "+words)
	out, err := run.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		s.t.Fatal(err)
	}
	found := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "for curl") {
				found <- true
				return
			}
		}
		found <- false
	}()
	// When curl is connected is not seen from here: one record after it is enough.
	for deadline := time.After(patience); ; {
		select {
		case ok := <-found:
			_ = run.Process.Kill()
			_ = run.Wait()
			if !ok {
				s.t.Errorf("%s ended without a record", words)
			}
			return
		case <-deadline:
			_ = run.Process.Kill()
			s.t.Fatalf("%s showed nothing", words)
		case <-time.After(50 * time.Millisecond):
			s.call("POST", "/v1/topics/pages/batches", `{"records":[{"value":"for curl"}]}`)
		}
	}
}

// recovers cuts the node off under each view: it says so, once and with what was
// there, and goes on by itself.
func (s *site) recovers() {
	node := s.tab.base
	gate := newGate(s.t, strings.TrimPrefix(node, "http://"))
	s.tab.base = "http://" + gate.addr()
	defer func() { s.tab.base = node }()
	s.expect("ERR_", "404")
	const notices = `[...document.querySelectorAll("[role=alert]")].filter((e) => e.innerText.includes("does not answer"))`
	for _, view := range []string{"", "groups"} {
		s.show(view)
		s.awaitText(views[view])
		gate.shut()
		s.await(notices + `.length > 0`)
		s.awaitText(views[view])
		if view == "" {
			s.shot("cut")
		}
		if n := value[int](s.tab, notices+`.length`); n > 1 {
			s.t.Errorf("%q says it %d times", view, n)
		}
		gate.open()
		s.await(notices + `.length === 0`)
	}
	// A view that was opened meanwhile, and one that is not refreshed.
	for _, view := range []string{"topics/pages", "topics/orders/configs"} {
		s.show("nodes")
		s.awaitText("Voters")
		gate.shut()
		s.do(chromedp.Evaluate[chromedp.Void](`location.hash = "#/` + view + `"`))
		s.await(notices + `.length > 0`)
		gate.open()
		s.awaitText(views[view])
		s.await(notices + `.length === 0`)
	}
	s.do(chromedp.Navigate("about:blank")) // before the gate is closed for good
}
