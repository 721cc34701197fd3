package web_test

import (
	"encoding/json"
	"fmt"
	"strings"
)

// traceID is that of a record in the topic of the searches.
const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"

// search looks into keys, values and headers, beyond one read, in one partition
// and in all.
func (s *site) search() {
	s.topic("haystack", 1)
	s.write("haystack", 0, 0, 2500)
	s.call("POST", "/v1/topics/haystack/batches", `{"records":[
		{"key":"Needle-1","value":"a"}, {"value":"b needle"}, {"value":"c","headers":[{"name":"x-needle","value":"y"}]},
		{"value":"bmVlZGxl/w==","encoding":"base64"}, {"value":"hay",
		 "headers":[{"name":"traceparent","value":"00-`+traceID+`-00f067aa0ba902b7-01"}]}]}`)
	s.show("topics/haystack")
	s.awaitRows("0/2455", "0/2504", 50)
	s.key("/")
	s.await(`document.activeElement.name === "q"`)
	s.fill("q", "NEEDLE\r")
	s.awaitRows("0/2500", "0/2503", 4)
	s.await(`location.hash === "#/topics/haystack?q=NEEDLE" && document.querySelector("[data-scanned='2505']")`)
	s.fill("q", "record 2\r")
	s.await(`document.querySelectorAll("[data-record]").length === 50`)
	first := s.rows()[0]
	s.press("Search on")
	s.await(fmt.Sprintf(`document.querySelectorAll("[data-record]").length === 50 &&
		document.querySelector("[data-record]").dataset.record !== %q`, first))
	s.fill("q", "nowhere\r")
	s.awaitText("No record here contains that.")
	s.topic("hay2", 2)
	s.write("hay2", 0, 0, 30)
	s.write("hay2", 1, 0, 30)
	s.show("topics/hay2?q=record+17")
	s.await(`document.querySelectorAll("[data-record]").length === 2`)
}

// trace leads from a record to where its trace is shown.
func (s *site) trace() {
	s.show("topics/haystack?partition=0&offset=2504&open=2504")
	s.await(`document.querySelector("[data-trace]")`)
	got := value[string](s.tab, `document.querySelector("[data-trace]").href`)
	if want := "http://127.0.0.1:16686/trace/" + traceID; got != want {
		s.t.Errorf("the trace is at %s, want %s", got, want)
	}
}

// replay copies a record, bytes and headers too.
func (s *site) replay() {
	s.topic("again", 1)
	s.show("topics/values?partition=0&offset=0&open=0")
	s.press("Write again")
	s.fill("target", "again")
	s.press("Write again")
	s.awaitText("Written to partition 0 at offset 0")
	s.show("topics/values?partition=0&offset=1&open=1")
	s.press("Write again")
	s.fill("target", "no such/topic")
	s.expect("400")
	s.press("Write again")
	s.awaitText("Nothing was changed")
	s.fill("target", "again")
	s.press("Write again")
	s.awaitText("Written to partition 0 at offset 1")
	var from, to struct{ Records []map[string]any }
	for topic, page := range map[string]any{"values": &from, "again": &to} {
		text := s.call("GET", "/v1/topics/"+topic+"/partitions/0/records?offset=0&limit=2", "")
		if err := json.Unmarshal([]byte(text), page); err != nil {
			s.t.Fatal(err)
		}
	}
	for i := range 2 {
		for _, member := range []string{"key", "key_encoding", "value", "encoding", "headers"} {
			want, got := fmt.Sprint(from.Records[i][member]), fmt.Sprint(to.Records[i][member])
			if want != got {
				s.t.Errorf("record %d: %s is %s, want %s", i, member, got, want)
			}
		}
	}
}

// export downloads what the page shows and all after it.
func (s *site) export() {
	s.show("topics/pages?offset=60")
	s.await(`document.querySelector("[data-export]")`)
	s.await(`document.querySelector("[data-export]").download === "pages-0.ndjson"`)
	target := value[string](s.tab, `document.querySelector("[data-export]").getAttribute("href")`)
	lines := strings.Split(strings.TrimSpace(s.call("GET", target, "")), "\n")
	if len(lines) != 62 || !strings.Contains(lines[0], `"offset":60,`) || !strings.Contains(lines[60], `"offset":120,`) ||
		!strings.Contains(lines[61], `"reason":"tail"`) {
		s.t.Errorf("%d lines, from %.300s to %.300s", len(lines), lines[0], lines[len(lines)-1])
	}
}

// consumers are the groups that read a topic. The steps before made one.
func (s *site) consumers() {
	s.show("topics/jobs/consumers")
	s.await(`document.querySelector("[data-consumer=workers]")`)
	s.press("workers")
	s.await(`location.hash === "#/groups/workers"`)
	s.show("topics/pages/consumers")
	s.awaitText("No consumer group reads this topic.")
}

// kcat is offered where a Kafka client can do the same.
func (s *site) kcat() {
	for view, want := range map[string]string{
		"topics/pages?offset=60":    " -C -t pages -e -p 0 -o 60 -c 50",
		"topics/jobs?from=earliest": " -C -t jobs -e -o beginning",
		"topics/pages?tail=1":       " -C -t pages -p 0 -o end",
	} {
		s.show(view)
		s.awaitText("node 1")
		s.awaitLoaded()
		s.press("Copy as curl")
		s.awaitText("kcat -b " + s.cluster.Nodes[0].Kafka + want)
	}
}
