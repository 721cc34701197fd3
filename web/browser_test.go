package web_test

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/chroniklog/chronik/server/servertest"
)

// TestBrowser drives every screen in a real browser against a live cluster.
// The steps share both, but each has its own topics and groups. The last one
// kills a node.
func TestBrowser(t *testing.T) {
	browser(t) // skip before a cluster is started
	c := servertest.StartCluster(t, 3)
	s := &site{tab: openTab(t, c.Nodes[0].URL), cluster: c}
	for _, step := range []struct {
		name string
		run  func(*site)
	}{
		{"topics", (*site).topics},
		{"records", (*site).records},
		{"values", (*site).values},
		{"all partitions", (*site).allPartitions},
		{"produce", (*site).produce},
		{"configs", (*site).configs},
		{"groups", (*site).groups},
		{"search", (*site).search},
		{"trace", (*site).trace},
		{"replay", (*site).replay},
		{"consumers", (*site).consumers},
		{"overview", (*site).overview},
		{"nodes", (*site).nodes},
		{"problems", (*site).problems},
		{"keyboard", (*site).keyboard},
		{"steady", (*site).steady},
		{"sorted", (*site).sorted},
		{"opened", (*site).opened},
		{"focused", (*site).focused},
		{"curl", (*site).curl},
		{"export", (*site).export},
		{"kcat", (*site).kcat},
		{"pictures", (*site).pictures},
		{"dark", (*site).dark},
		{"narrow", (*site).narrow},
		{"medium", (*site).medium},
		{"unfolded", (*site).unfolded},
		{"long", (*site).long},
		{"accessible", (*site).accessible},
		{"tail", (*site).tail},
		{"busy tail", (*site).busyTail},
		{"curl of the tail", (*site).curlTail},
		{"recovers", (*site).recovers},
		{"tail through cuts", (*site).tailThroughCuts},
		{"tail through a failover", (*site).tailThroughFailover},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			outer := s.tab.t
			s.tab.t = t
			defer func() { s.tab.t = outer; s.expect() }()
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

// call sends a request to the first node and returns the answer's body.
func (s *site) call(method, path, body string) string {
	s.t.Helper()
	n := s.cluster.Nodes[0]
	r, err := http.NewRequestWithContext(s.t.Context(), method, n.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := n.Client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, answer, err)
	}
	return string(answer)
}

// topic creates one, with three replicas.
func (s *site) topic(name string, partitions int) {
	s.t.Helper()
	s.call("POST", "/v1/topics", fmt.Sprintf(`{"name":%q,"partitions":%d,"replication_factor":3}`, name, partitions))
}

// write appends records "from" to "to", without it, to a partition.
func (s *site) write(topic string, partition, from, to int) {
	s.t.Helper()
	var list []string
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf(`{"partition":%d,"key":"k%d","value":"record %d"}`, partition, i%7, i))
	}
	s.call("POST", "/v1/topics/"+topic+"/batches", `{"records":[`+strings.Join(list, ",")+`]}`)
}

// rows are the places ("0/42") of the records shown, from top to bottom.
func (s *site) rows() []string {
	return value[[]string](s.tab, `[...document.querySelectorAll("[data-record]")].map((e) => e.dataset.record)`)
}

// awaitRows waits for a page that begins and ends with these records.
func (s *site) awaitRows(first, last string, n int) {
	s.t.Helper()
	s.await(fmt.Sprintf(`(() => {
		const rows = [...document.querySelectorAll("[data-record]")].map((e) => e.dataset.record);
		return rows.length === %d && rows[0] === %q && rows.at(-1) === %q;
	})()`, n, first, last))
}

func (s *site) topics() {
	s.show("topics")
	s.awaitText("There is no topic yet")
	s.press("New topic")
	s.fill("name", "orders")
	s.fill("partitions", "3")
	s.fill("configs", "retention.ms=604800000")
	s.press("Create")
	s.await(`location.hash === "#/topics/orders"`)
	s.awaitText("There are no records here.")
	got := s.call("GET", "/v1/topics/orders", "")
	if !strings.Contains(got, `"partitions":3`) || !strings.Contains(got, `"retention.ms":"604800000"`) {
		s.t.Errorf("the topic that was made: %s", got)
	}
	s.topic("doomed", 1)
	s.show("topics")
	s.await(`document.querySelectorAll("[data-row]").length === 2`)
	s.do(chromedp.SendKeys("[data-search]", "doo"))
	s.await(`document.querySelectorAll("[data-row]").length === 1 && location.hash === "#/topics?q=doo"`)
	s.press("doomed")
	s.awaitText("There are no records here.")
	s.press("Delete")
	s.awaitText("Nothing brings them back")
	s.do(chromedp.SendKeys("dialog input", "doom"))
	s.await(`document.querySelector("dialog button.danger").disabled`)
	s.do(chromedp.SendKeys("dialog input", "ed"))
	s.press("Delete for good")
	s.await(`location.hash === "#/topics" && document.querySelectorAll("[data-row]").length === 1`)
	if got := s.call("GET", "/v1/topics", ""); strings.Contains(got, "doomed") {
		s.t.Errorf("the topic is still there: %s", got)
	}
}

func (s *site) records() {
	s.topic("pages", 1)
	s.write("pages", 0, 0, 120)
	s.show("topics/pages")
	s.awaitRows("0/70", "0/119", 50)
	s.press("Previous")
	s.awaitRows("0/20", "0/69", 50)
	s.press("Previous")
	s.awaitRows("0/0", "0/49", 50)
	s.await(`document.querySelector(".button.off").innerText === "Previous"`)
	s.press("Next")
	s.awaitRows("0/50", "0/99", 50)
	s.press("Next")
	s.awaitRows("0/100", "0/119", 20)
	s.await(`document.querySelector("[data-range]").innerText === "100 – 119 of 0 – 119"`)
	s.await(`document.querySelector(".button.off").innerText === "Next"`)
	s.do(chromedp.NavigateBack())
	s.awaitRows("0/50", "0/99", 50)
	s.fill("offset", "117\r")
	s.awaitRows("0/117", "0/119", 3)
	s.press("Oldest")
	s.awaitRows("0/0", "0/49", 50)

	late := time.Now().Add(30 * time.Minute)
	s.call("POST", "/v1/topics/pages/batches", fmt.Sprintf(`{"records":[{"value":"late","timestamp":%d}]}`, late.UnixMilli()))
	when := late.Add(-time.Minute).Format("2006-01-02T15:04:05")
	s.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => {
		const field = document.querySelector('input[name="time"]');
		field.value = %q;
		field.dispatchEvent(new Event("change", {bubbles: true}));
	})()`, when)))
	s.awaitRows("0/120", "0/120", 1)
}

func (s *site) values() {
	s.topic("values", 1)
	s.call("POST", "/v1/topics/values/batches", `{"records":[
		{"key":"u1","value":"{\"id\":12345678901234567890,\"tags\":[\"a\",\"b\"],\"none\":{},\"text\":\"<b>no markup</b>\"}",
		 "headers":[{"name":"Trace","value":"abc"},{"name":"Raw","value":"AAEC/w==","encoding":"base64"}]},
		{"value":"AAECaGVsbG//","encoding":"base64"},
		{"key":"u1","value":null},
		{"value":"<img src=x onerror=alert(1)>"}]}`)
	s.show("topics/values")
	s.awaitRows("0/0", "0/3", 4)
	s.awaitText("<img src=x onerror=alert(1)>", "tombstone", "00 01 02 68 65 6c 6c 6f ff")
	s.press("0")
	// The numbers of a document are shown as they were written.
	s.awaitText("\"id\": 12345678901234567890,\n", "\"tags\": [\n    \"a\",\n    \"b\"\n  ],", `"none": {},`, "Trace", "00 01 02 ff")
	s.await(`[...document.querySelectorAll(".json.name")].some((e) => e.innerText === '"id"')`)
	s.await(`document.querySelector(".json.number").innerText === "12345678901234567890"`)
	s.await(`document.querySelector("[data-download]").download === "values-0-0"`)
	s.shot("records")
	s.do(chromedp.Click(`//*[@aria-label="Value as"]/button[.="Hex"]`))
	s.awaitText("00000000  7b 22 69 64 22 3a 31 32")
	s.do(chromedp.Click(`//*[@aria-label="Value as"]/button[.="Text"]`))
	s.awaitText(`{"id":12345678901234567890,"tags"`)
	s.press("0")
	s.press("1")
	s.awaitText("00000000  00 01 02 68 65 6c 6c 6f ff", "...hello.")
	s.press("Link to this record")
	s.await(`location.hash === "#/topics/values?partition=0&offset=1&open=1"`)
	s.awaitRows("0/1", "0/3", 3)
	s.await(`document.querySelector("[data-record='0/1'] [aria-expanded=true]")`)
	if n := value[int](s.tab, `document.querySelectorAll("main img, main b").length`); n != 0 {
		s.t.Error("a record became markup")
	}
}

func (s *site) allPartitions() {
	s.topic("wide", 3)
	for p := range 3 {
		s.write("wide", p, 0, 40)
	}
	s.show("topics/wide")
	s.await(`document.querySelectorAll("[data-record]").length === 50`)
	s.press("Oldest")
	s.await(`document.querySelector("[data-record='0/0']")`)
	s.await(`document.body.innerText.includes("Choose a partition to page back")`)
	seen := make(map[string]int)
	var pages [][]string
	for range 10 {
		s.await(`!document.querySelector(".stale")`)
		rows := s.rows()
		pages = append(pages, rows)
		for _, row := range rows {
			seen[row]++
		}
		if !value[bool](s.tab, `document.querySelector("a[data-next]") !== null`) {
			break
		}
		s.press("Next")
		s.await(fmt.Sprintf(`document.querySelector("[data-record]")?.dataset.record !== %q`, rows[0]))
	}
	for p := range 3 {
		for i := range 40 {
			if row := fmt.Sprintf("%d/%d", p, i); seen[row] != 1 {
				s.t.Errorf("%s was shown %d times", row, seen[row])
			}
		}
	}
	s.backThrough(pages)
	s.choose("partition", "2")
	s.awaitRows("2/0", "2/39", 40)
	s.press("Partitions")
	s.await(`document.querySelectorAll("[data-partition]").length === 3`)
	for p := range 3 {
		s.await(fmt.Sprintf(`(() => {
			const row = document.querySelector("[data-partition='%d']").innerText;
			return /node \d/.test(row) && row.includes("1, 2, 3") === false || row.includes("40");
		})()`, p))
	}
}

// backThrough pages back from the last of these pages, by key and by button, and
// across a reload.
func (s *site) backThrough(pages [][]string) {
	s.t.Helper()
	if len(pages) < 3 {
		s.t.Fatalf("%d pages are not enough to go back through", len(pages))
	}
	for i := len(pages) - 2; i >= 0; i-- {
		if i == 0 {
			s.do(chromedp.Reload())
			s.awaitText("Previous")
			s.key("[")
		} else {
			s.press("Previous")
		}
		s.awaitRows(pages[i][0], pages[i][len(pages[i])-1], len(pages[i]))
		s.await(`!document.querySelector(".stale")`)
	}
	s.awaitText("Choose a partition to page back")
}

func (s *site) produce() {
	s.topic("letters", 2)
	s.show("topics/letters")
	s.press("Write a record")
	s.fill("value", `{"n":1`)
	s.awaitText("This is no JSON")
	s.fill("value", `{"n":1}`)
	s.await(`document.querySelector("[data-json]").innerText === ""`)
	s.choose("partition", "1")
	s.fill("key", "a key")
	s.fill("value", `{"n":1}`)
	s.fill("headers", "Kind: test")
	s.press("Write")
	s.awaitText("Written to partition 1 at offset 0")
	s.press("Write")
	s.awaitText("Written to partition 1 at offset 1")
	got := s.call("GET", "/v1/topics/letters/partitions/1/records?offset=0", "")
	if !strings.Contains(got, `"key":"a key"`) || !strings.Contains(got, `"value":"{\"n\":1}"`) ||
		!strings.Contains(got, `"name":"Kind","value":"test"`) {
		s.t.Errorf("what was written: %s", got)
	}
	s.do(chromedp.Click(chromedp.CSS("dialog input[name=none]")))
	s.press("Write")
	s.awaitText("at offset 2")
	s.press("2")
	s.awaitRows("1/2", "1/2", 1)
	s.awaitText("tombstone, which deletes its key")
}

func (s *site) configs() {
	s.show("topics/orders/configs")
	s.await(`document.querySelector("[data-config='retention.ms']")?.querySelector("[data-source=topic]")`)
	s.do(chromedp.Click(`[aria-label="Change max.message.bytes"]`))
	s.fill("value", "nonsense")
	s.expect("400")
	s.press("Set")
	s.awaitText("invalid_config", "Nothing was changed")
	s.fill("value", "2000000")
	s.press("Set")
	s.await(`document.querySelector("[data-config='max.message.bytes']")?.innerText.includes("2000000")`)
	s.do(chromedp.Click(`[aria-label="Change retention.ms"]`))
	s.press("Back to the default")
	s.await(`document.querySelector("[data-config='retention.ms'] [data-source=default]")`)
	if got := s.call("GET", "/v1/topics/orders", ""); !strings.Contains(got, `"configs":{"max.message.bytes":"2000000"}`) {
		s.t.Errorf("the configs: %s", got)
	}
}

func (s *site) overview() {
	s.show("")
	s.await(`document.querySelector('[data-tile="Nodes alive"]')?.innerText.includes("3 of 3")`)
	s.await(`document.querySelector('[data-tile="Controller"]').innerText.match(/node [123]/)`)
	s.await(`document.querySelectorAll("[data-node]").length === 3`)
	s.await(`document.querySelectorAll(".plot canvas").length === 4`)
	// Two readings make a rate; what is written between them shows in it, and
	// as that of the node that leads the partition, whichever node is asked.
	const label = `(document.querySelector(".plot [role=img]")?.getAttribute("aria-label") ?? "")`
	s.await(label + `.match(/appended \d/)`)
	s.awaitText("The whole cluster, the last five minutes")
	s.topic("away", 3)
	leader := s.leader("away")
	partition := s.ledBy("away", leader)
	appended := func() { s.write("away", partition, 0, 500) }
	appended()
	s.await(label + `.match(/appended [1-9]/)`)
	s.choose("node", fmt.Sprint(leader))
	s.await(fmt.Sprintf(`location.hash === "#/?node=%d"`, leader))
	s.awaitText(fmt.Sprintf("Node %d, the last five minutes", leader))
	s.do(chromedp.Reload())
	s.awaitText(fmt.Sprintf("Node %d, the last five minutes", leader))
	s.await(label + `.match(/appended \d/)`)
	appended()
	s.await(label + `.match(/appended [1-9]/)`)
	s.await(`document.querySelectorAll(".plot [role=img]")[3].getAttribute("aria-label").match(/lag \d/)`)
	s.show("")
	s.await(label + `.match(/appended \d/)`)
	s.shot("overview")
}

func (s *site) nodes() {
	s.show("nodes")
	s.await(`document.querySelectorAll("[data-node]").length === 3`)
	for _, n := range s.cluster.Nodes {
		s.awaitText(strings.TrimPrefix(n.URL, "http://"), n.Kafka)
	}
	s.await(`/Voters\s*1, 2, 3/.test(document.querySelector("[data-raft]").innerText)`)
	s.shot("nodes")
}

func (s *site) problems() {
	s.expect("404")
	s.show("topics/none")
	s.awaitText("unknown_topic", "Try again")
	s.show("groups/none")
	s.awaitText("unknown_group")
	s.show("nowhere")
	s.awaitText("There is nothing here")
	s.show("topics")
	s.press("New topic")
	s.fill("name", "orders")
	s.expect("409")
	s.press("Create")
	s.awaitText("topic_exists", "Nothing was changed")
}

func (s *site) keyboard() {
	s.show("topics")
	s.awaitText("orders")
	s.key("/")
	s.await(`document.activeElement.matches("[data-search]")`)
	s.do(chromedp.KeyEvent("pages"))
	s.await(`document.querySelectorAll("[data-row]").length === 1`)
	s.do(chromedp.KeyEvent(kb.Escape))
	s.await(`document.activeElement === document.body`)
	s.key("j")
	s.do(chromedp.KeyEvent(kb.Enter))
	s.await(`location.hash === "#/topics/pages"`)
	s.awaitRows("0/71", "0/120", 50)
	s.key("[")
	s.awaitRows("0/21", "0/70", 50)
	s.key("jjjk")
	s.await(`document.activeElement.innerText === "22"`)
	s.do(chromedp.KeyEvent(kb.Enter))
	s.await(`document.querySelector("[data-record='0/22'] .details")`)
	s.key("]")
	s.awaitRows("0/71", "0/120", 50)
	s.key("?")
	s.awaitText("next, previous row")
	s.do(chromedp.KeyEvent(kb.Escape))
	s.await(`!document.querySelector("dialog")`)
}

// curl runs what the console shows.
func (s *site) curl() {
	sh, err := exec.LookPath("curl")
	if err != nil {
		s.t.Skip("no curl")
	}
	for view, what := range map[string]string{
		"": `"cluster_id"`, "topics": `"topics"`, "topics/pages/partitions": `"isr":[1,2,3]`, "groups": `"groups"`,
		"nodes": `"raft"`, "topics?q=pag": `"name":"pages"`, "topics/pages?offset=60": `"offset":60,`,
		"topics/orders/configs": `"effective_configs"`, "topics/jobs/consumers": `"groups"`,
		"groups/workers": `"group":"workers"`, "topics/pages?time=1&partition=0": `"offset":0,`,
	} {
		s.show(view)
		s.awaitLoaded()
		s.press("Copy as curl")
		s.await(`document.querySelector("dialog pre")`)
		command := value[string](s.tab, `document.querySelector("dialog pre").innerText`)
		if !strings.HasPrefix(command, "curl ") {
			s.t.Fatalf("%s shows %q", view, command)
		}
		command = sh + " -s " + strings.TrimPrefix(command, "curl ")
		got, err := exec.CommandContext(s.t.Context(), "sh", "-c", command).CombinedOutput()
		if err != nil || !strings.Contains(string(got), what) {
			s.t.Errorf("%s: %v, %.300s", command, err, got)
		}
	}
}

func (s *site) dark() {
	background := `getComputedStyle(document.body).backgroundColor`
	s.show("")
	s.awaitText("Nodes alive")
	light := value[string](s.tab, background)
	s.press("Theme: auto")
	s.press("Theme: light")
	s.awaitText("Theme: dark")
	dark := value[string](s.tab, background)
	s.show("")
	s.awaitText("Theme: dark")
	s.await(`document.querySelectorAll(".plot canvas").length === 4`)
	if again := value[string](s.tab, background); again != dark || dark == light {
		s.t.Errorf("background: light %s, dark %s, after a reload %s", light, dark, again)
	}
	s.await(`document.querySelector(".plot [role=img]").getAttribute("aria-label").match(/appended \d/)`)
	s.shot("dark")
	s.press("Theme: dark")
	s.await(fmt.Sprintf(`%s === %q`, background, light))
}
