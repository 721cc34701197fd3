package web_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/chromedp"
)

// picturesEnv makes the test renew the pictures of docs/console.
const picturesEnv = "CHRONIK_PICTURES"

// pictures are those of the documentation.
func (s *site) pictures() {
	dir := s.t.ArtifactDir()
	if os.Getenv(picturesEnv) != "" {
		dir = "../docs/console"
	}
	s.topic("payments", 3)
	var list []string
	for i := range 90 {
		list = append(list, fmt.Sprintf(`{"partition":%d,"key":"customer-%d","value":"{\"id\":%d,\"amount\":%d.50,`+
			`\"currency\":\"EUR\",\"lines\":[{\"sku\":\"A-%d\",\"count\":2}]}",`+
			`"headers":[{"name":"source","value":"checkout"},{"name":"traceparent","value":"00-%s-00f067aa0ba902b7-01"}]}`,
			i%3, 100+i%17, 7000+i, 5+i%40, i%9, traceID))
	}
	s.call("POST", "/v1/topics/payments/batches", `{"records":[`+strings.Join(list, ",")+`]}`)
	defer s.do(chromedp.EmulateViewport(1280, 900))
	const record = `document.querySelector("[data-trace]")`
	for _, p := range []struct {
		name, view, ready string
		width, height     int64
		theme             string
	}{
		{"overview", "", `document.querySelector(".plot [role=img]")?.getAttribute("aria-label").match(/appended \d/)`,
			1280, 1180, "light"},
		{"topics", "topics", `document.querySelector("[data-row]")`, 1280, 640, "light"},
		{"records", "topics/payments?partition=0&offset=0&open=0", record, 1280, 900, "light"},
		{"records-dark", "topics/payments?partition=0&offset=0&open=0", record, 1280, 900, "dark"},
		{"search", "topics/payments?q=customer-105", `document.querySelector("[data-scanned]")`, 1280, 560, "light"},
		{"partitions", "topics/payments/partitions", `document.querySelector("[data-partition]")`, 1280, 480, "light"},
		{"group", "groups/workers", `document.querySelector("[data-lag]")`, 1280, 640, "light"},
		{"nodes", "nodes", `document.querySelector("[data-raft]")`, 1280, 560, "dark"},
		{"phone", "topics/payments?partition=0&offset=0", `document.querySelector("[data-record]")`, 375, 720, "light"},
		{"phone-dark", "", `document.querySelector("[data-node]")`, 375, 720, "dark"},
	} {
		s.do(chromedp.EmulateViewport(p.width, p.height))
		s.show("")
		s.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`localStorage.setItem("chronik.theme", %q)`, p.theme)))
		s.show(p.view)
		s.await(p.ready)
		s.awaitText("Theme: " + p.theme)
		if p.name == "overview" && os.Getenv(picturesEnv) != "" {
			s.busy()
		}
		s.shotTo(filepath.Join(dir, p.name+".png"))
	}
	s.do(chromedp.Evaluate[chromedp.Void](`localStorage.removeItem("chronik.theme")`))
}

// busy lets the plots draw a few readings.
func (s *site) busy() {
	label := `document.querySelector(".plot [role=img]").getAttribute("aria-label")`
	for i := range 12 {
		before := value[string](s.tab, label)
		for p := range 3 { // one of them is led by the node whose plots these are
			s.write("orders", p, 0, 200+70*(i%5))
		}
		s.await(fmt.Sprintf("%s !== %q", label, before))
	}
}
