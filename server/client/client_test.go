package client

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// against returns a client of a server that answers with handler.
func against(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestNewAddresses(t *testing.T) {
	for server, want := range map[string]string{
		"":                        DefaultServer,
		"localhost:9":             "http://localhost:9",
		"https://logs.example/x/": "https://logs.example/x",
	} {
		c, err := New(server)
		if err != nil || c.Server() != want {
			t.Errorf("New(%q) is %v, %v; want %s", server, c, err, want)
		}
	}
	for _, server := range []string{"http://", "ftp://x", "http://a b", "://"} {
		if _, err := New(server); !errors.Is(err, ErrServer) {
			t.Errorf("New(%q): %v", server, err)
		}
	}
}

func TestProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		status      int
		body, after string
		want        string
	}{
		"whole": {409, `{"title":"T","status":409,"detail":"D.","code":"topic_exists","retryable":false,
			"outcome":"not_applied","trace_id":"abc"}`, "", "D. (topic_exists; trace abc)"},
		"retry":   {503, `{"title":"T","code":"no_leader","retryable":true}`, "7", "T (no_leader; try again in 7s)"},
		"unknown": {504, `{"detail":"D","retryable":true,"outcome":"unknown"}`, "", "D (may or may not have been applied; trying again may help)"},
		"no JSON": {502, "<html>\nbad gateway", "", "<html>"},
		"empty":   {500, "", "", "500 Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			c := against(t, func(w http.ResponseWriter, _ *http.Request) {
				if tc.after != "" {
					w.Header().Set("Retry-After", tc.after)
				}
				w.WriteHeader(tc.status)
				io.WriteString(w, tc.body)
			})
			err := c.Call(t.Context(), http.MethodGet, "/v1/x", nil, nil)
			if err == nil || err.Error() != tc.want || !IsStatus(err, tc.status) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestUnreachableSaysWhatToDo(t *testing.T) {
	c, err := New("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Cluster(t.Context())
	if err == nil || !strings.Contains(err.Error(), "chronik serve") || !strings.Contains(err.Error(), "--server") {
		t.Errorf("got %v", err)
	}
}

// Kafka's port, for example, is no place for HTTP.
func TestNoAnswerSaysWhatToDo(t *testing.T) {
	c := against(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	_, err := c.Cluster(t.Context())
	if !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), c.Server()) ||
		!strings.Contains(err.Error(), "not a node's HTTP address") {
		t.Errorf("got %v", err)
	}
}

func TestTopicsFollowsPages(t *testing.T) {
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("page_token") {
		case "":
			io.WriteString(w, `{"topics":[{"name":"a"},{"name":"b"}],"next_page_token":"t"}`)
		case "t":
			io.WriteString(w, `{"topics":[{"name":"c"}]}`)
		}
	})
	var names []string
	err := c.Topics(t.Context(), "", func(topic Topic) error { names = append(names, topic.Name); return nil })
	if err != nil || strings.Join(names, "") != "abc" {
		t.Errorf("%v, %v", names, err)
	}
}

// echoPlaces answers each line of a stream with a place, at once.
func echoPlaces(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if err := control.EnableFullDuplex(); err != nil {
		panic(err)
	}
	w.WriteHeader(http.StatusOK)
	for lines, i := bufio.NewScanner(r.Body), 0; lines.Scan(); i++ {
		fmt.Fprintf(w, "{\"partition\":0,\"offset\":%d,\"timestamp\":1,\"duplicate\":false}\n", i)
		control.Flush()
	}
}

func TestStreamIsAnsweredWhileItIsSent(t *testing.T) {
	c := against(t, echoPlaces)
	s, err := c.Stream(t.Context(), "t", ProduceOptions{Partition: -1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(3) {
		if err := errors.Join(s.Append(OutRecord{Value: []byte("x")}), s.Flush()); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); s.Acknowledged() <= i; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("record %d was not acknowledged while the stream was open", i)
			}
		}
	}
	if err := s.Close(); err != nil || s.Sent() != 3 || s.Acknowledged() != 3 {
		t.Errorf("%v, sent %d, acknowledged %d", err, s.Sent(), s.Acknowledged())
	}
}

func TestStreamFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"refused": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"detail":"no topic t","code":"unknown_topic"}`)
		}, "no topic t"},
		"error line": {func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "{\"partition\":0,\"offset\":0}\n{\"error\":{\"detail\":\"line 2: too large\"},\"line\":2}\n")
		}, "record 2: too large"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "what?\n") }, "no JSON"},
		"half a line": {func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			io.WriteString(w, "{\"part")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "may or may not have been written"},
		"too few": {func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			io.WriteString(w, "{\"partition\":0,\"offset\":0}\n")
		}, "ended the stream early"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := against(t, tc.handler).Stream(t.Context(), "t", ProduceOptions{Partition: -1})
			if err != nil {
				t.Fatal(err)
			}
			// A server that is gone must be noticed by a writer that never stops.
			for range 100_000 {
				if err = s.Append(OutRecord{Value: []byte(strings.Repeat("x", 100))}); err != nil {
					break
				}
			}
			if err == nil {
				err = s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestStreamAbort(t *testing.T) {
	c := against(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	ctx, cancel := context.WithCancel(t.Context())
	s, err := c.Stream(ctx, "t", ProduceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	s.Abort(errors.New("given up"))
	if err := s.Append(OutRecord{}); err == nil {
		if err = s.Flush(); err == nil {
			t.Error("an aborted stream took a record")
		}
	}
}

func TestAppendSendsEverything(t *testing.T) {
	var got *http.Request
	var body []byte
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, `{"partition":2,"offset":7,"timestamp":1,"duplicate":true}`)
	})
	record := OutRecord{
		Key: []byte{0xff, 0}, Value: []byte("v"), Headers: []Header{{"Ab", []byte("x\r\ny")}, {"Ab", []byte(":z")}},
	}
	placed, err := c.Append(t.Context(), "a/b", record, "image/png", ProduceOptions{Partition: 2, Acks: "leader", IdempotencyKey: "i"})
	if err != nil || placed != (Placed{2, 7, 1, true}) {
		t.Fatalf("%+v, %v", placed, err)
	}
	headers := strings.Join(got.Header.Values("Log-Header"), " ")
	if got.URL.EscapedPath() != "/v1/topics/a%2Fb/records" || got.URL.RawQuery != "acks=leader&partition=2" ||
		got.Header.Get("Log-Key") != ":/wA=:" || got.Header.Get("Content-Type") != "image/png" ||
		got.Header.Get("Idempotency-Key") != "i" || headers != "Ab=:eA0KeQ==: Ab=:Ono=:" || string(body) != "v" {
		t.Errorf("%s %v %q", got.URL, got.Header, body)
	}
}

func TestFetchReadsPositions(t *testing.T) {
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "max_bytes=9&offset=5&wait=1.5" || r.Header.Get("Accept") != batchType {
			t.Errorf("%s %s", r.URL.RawQuery, r.Header.Get("Accept"))
		}
		w.Header().Set("Trailer", "Log-Next-Offset")
		w.Header().Set("Log-High-Watermark", "9")
		w.Header().Set("Log-Start-Offset", "1")
		io.WriteString(w, "bytes")
		w.Header().Set("Log-Next-Offset", "8")
	})
	got, err := c.Fetch(t.Context(), FetchRequest{Topic: "t", Offset: 5, MaxBytes: 9, Wait: 1500 * time.Millisecond})
	if err != nil || string(got.Batches) != "bytes" || got.Next != 8 || got.HighWatermark != 9 || got.LogStart != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// FuzzRecord decodes what appendRecord wrote with the standard library.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("hello"), []byte("k"), "name", []byte("v"))
	f.Add([]byte("\xff\x00\n\"\\\u2028</"), []byte(nil), "\x7f\t", []byte("\xc3"))
	f.Fuzz(func(t *testing.T, value, key []byte, name string, header []byte) {
		if !utf8.ValidString(name) {
			return // names are text
		}
		line := appendRecord(nil, OutRecord{Key: key, Value: value, Headers: []Header{{name, header}}})
		if strings.Count(string(line), "\n") != 1 {
			t.Fatalf("not one line: %q", line)
		}
		var got struct {
			Key, Value  *string
			KeyEncoding string `json:"key_encoding"`
			Encoding    string
			Headers     []struct{ Name, Value, Encoding string }
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		same(t, value, got.Value, got.Encoding)
		same(t, key, got.Key, got.KeyEncoding)
		same(t, header, &got.Headers[0].Value, got.Headers[0].Encoding)
		if got.Headers[0].Name != name {
			t.Errorf("name %q became %q", name, got.Headers[0].Name)
		}
	})
}

func same(t *testing.T, want []byte, text *string, encoding string) {
	t.Helper()
	if want == nil || text == nil {
		if text != nil && *text != "" || want != nil {
			t.Errorf("%q became %v", want, text)
		}
		return
	}
	got := []byte(*text)
	if encoding == "base64" {
		var err error
		if got, err = base64.StdEncoding.DecodeString(*text); err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != string(want) {
		t.Errorf("%q became %q (%s)", want, got, encoding)
	}
}
