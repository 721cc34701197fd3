package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browserEnv turns the tests in a browser on: 1, or the path of a Chromium.
const browserEnv = "CHRONIK_BROWSER"

// patience bounds every wait for a page to become as it should be.
const patience = 20 * time.Second

// browser is the executable, found under the names that it usually has.
func browser(t *testing.T) string {
	t.Helper()
	wanted := os.Getenv(browserEnv)
	if wanted == "" {
		t.Skip(browserEnv + " is not set: see make browser")
	}
	if strings.Contains(wanted, "/") {
		return wanted
	}
	for _, name := range []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	t.Fatal("no Chromium: apt-get install chromium-headless-shell (or set " + browserEnv + " to the path of one)")
	return ""
}

// tab is a page in the browser. What the page itself complains of (exceptions,
// a broken policy, files that are missing) fails the test.
type tab struct {
	t     *testing.T
	ctx   context.Context
	base  string
	shown int // views so far

	mu       sync.Mutex
	expected []string // parts of complaints that the test provokes
}

// openTab starts a browser on the console at base.
func openTab(t *testing.T, base string) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser(t)),
		chromedp.WindowSize(1280, 900))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium has none for root
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, done := chromedp.NewContext(allocator)
	t.Cleanup(done)
	p := &tab{t: t, ctx: ctx, base: base}
	if err := chromedp.Listen(ctx, p.complaint); err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.EmulateViewport(1280, 900))
	return p
}

// complaint hears what goes wrong in the page.
func (p *tab) complaint(ev any) {
	text := ""
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		text = fmt.Sprintf("exception: %s %+v", ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception)
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			text = fmt.Sprintf("%s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, part := range p.expected {
		if strings.Contains(text, part) {
			return
		}
	}
	if text != "" {
		p.t.Error("the page: " + text)
	}
}

// expect says which complaints are meant to come from now on.
func (p *tab) expect(parts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = parts
}

// within bounds one step.
func (p *tab) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(p.ctx, patience)
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := p.within()
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.shot("failed")
		p.t.Fatalf("%v\nthe page shows:\n%s", err, p.text())
	}
}

// show opens a view: what follows "/#/" in the URL. The number makes it another
// page each time, which is loaded anew, by one navigation: after two, the end of
// the first could be taken for that of the second.
func (p *tab) show(fragment string) {
	p.t.Helper()
	p.shown++
	p.do(chromedp.Navigate(fmt.Sprintf("%s/?%d#/%s", p.base, p.shown, fragment)))
}

// text is what the page shows.
func (p *tab) text() string {
	ctx, cancel := p.within()
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body?.innerText ?? ""`))
	if err != nil {
		return err.Error()
	}
	return text
}

// await waits until a JavaScript expression is true.
func (p *tab) await(expression string) {
	p.t.Helper()
	ctx, cancel := p.within()
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool]("!!("+expression+")")); err != nil {
		p.shot("failed")
		p.t.Fatalf("%s: %v\nthe page shows:\n%s", expression, err, p.text())
	}
}

// awaitText waits until the page shows each text.
func (p *tab) awaitText(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.await("document.body.innerText.includes(" + quoted(text) + ")")
	}
}

// awaitLoaded waits until the view has its data, or the reason why there is none.
func (p *tab) awaitLoaded() {
	p.t.Helper()
	p.await(`document.querySelector("main") && !document.querySelector("main [aria-busy=true]")`)
}

// value is that of a JavaScript expression, through JSON.
func value[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := p.within()
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// press clicks on the button or link with that name, once it can be pressed: in a
// dialog, if one is open.
func (p *tab) press(name string) {
	p.t.Helper()
	path := fmt.Sprintf(`//*[self::button or self::a][normalize-space()=%s][not(@disabled)]`, quoted(name))
	if value[bool](p, `document.querySelector("dialog[open]") !== null`) {
		path = "//dialog" + path
	}
	p.do(chromedp.Click(path, chromedp.NodeVisible))
}

// fill puts text into the field with that name, as typed.
func (p *tab) fill(name, text string) {
	p.t.Helper()
	field := chromedp.CSS(fmt.Sprintf(`[name=%s]`, quoted(name)))
	p.do(chromedp.Click(field), chromedp.Evaluate[chromedp.Void](`document.activeElement.select?.()`),
		chromedp.SendKeys(field, text))
}

// choose takes an option of a select.
func (p *tab) choose(name, option string) {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => {
		const field = document.querySelector('select[name=%s]');
		field.value = %s;
		field.dispatchEvent(new Event('change', {bubbles: true}));
	})()`, quoted(name), quoted(option))))
}

// key presses keys that the console acts on. They come without the character
// that would follow in a field: whoever takes the first event stops the second,
// which two separate events can't show.
func (p *tab) key(keys string) {
	p.t.Helper()
	for _, r := range keys {
		p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			for _, kind := range []input.DispatchKeyEventType{
				input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp,
			} {
				event := input.DispatchKeyEventParams{Type: kind, Key: string(r)}
				if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, event); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

// shot keeps a picture of the page among the test's artifacts.
func (p *tab) shot(name string) {
	p.t.Helper()
	p.shotTo(filepath.Join(p.t.ArtifactDir(), name+".png"))
}

// shotTo keeps it in a file.
func (p *tab) shotTo(name string) {
	p.t.Helper()
	ctx, cancel := p.within()
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Logf("no picture of %s: %v", name, err)
		return
	}
	if err := os.WriteFile(name, png, 0o644); err != nil {
		p.t.Error(err)
	}
}

// quoted is a string of JavaScript, and of XPath as long as it has no quotes.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string is always valid
	}
	return string(b)
}
