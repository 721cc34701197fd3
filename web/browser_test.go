package web_test

import (
	"fmt"
	"testing"

	"github.com/chroniklog/chronik/server/servertest"
)

// TestBrowser drives every screen in a real browser against a live cluster.
// The steps share both: each has its own topics and groups.
func TestBrowser(t *testing.T) {
	browser(t) // skip before a cluster is started
	c := servertest.StartCluster(t, 3)
	p := openTab(t, c.Nodes[0].URL)
	s := &site{tab: p, cluster: c}
	for _, step := range []struct {
		name string
		run  func(*site)
	}{
		{"overview", (*site).overview},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			outer := p.t
			p.t = t
			defer func() { p.t = outer; p.expect() }()
			step.run(s)
		}) {
			return
		}
	}
}

// site is the console of a cluster.
type site struct {
	*tab
	cluster *servertest.Cluster
}

func (s *site) overview() {
	s.show("")
	s.await(`document.querySelector('[data-tile="Nodes alive"]')?.innerText.includes("3 of 3")`)
	s.await(`document.querySelectorAll("[data-node]").length === 3`)
	s.await(`document.querySelectorAll(".plot canvas").length === 3`)
	s.shot("overview")
	fmt.Println(s.text())
}
