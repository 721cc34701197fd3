package chaos

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(mutantEnv); name != "" {
		os.Exit(runMutant(name))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if building.dir != "" {
			_ = os.RemoveAll(building.dir) // a temporary directory: the system cleans up too
		}
		os.Exit(code)
	}))
}

// building is the binary under test, made by the first test that wants it.
var building struct {
	once sync.Once
	dir  string
	bin  string
	err  error
}

func built(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs the binary")
	}
	building.once.Do(func() {
		if building.dir, building.err = os.MkdirTemp("", "chronik-chaos-"); building.err == nil {
			building.bin, building.err = Build(building.dir)
		}
	})
	if building.err != nil {
		t.Fatal(building.err)
	}
	return building.bin
}

// TestKill kills the node again and again while clients write and read.
func TestKill(t *testing.T) {
	bin, dir := built(t), t.TempDir()
	duration := 2 * time.Second
	if s := os.Getenv("CHRONIK_CHAOS"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("CHRONIK_CHAOS: %v", err)
		}
		duration = d
	}
	seed := seedFromEnv(t)
	t.Logf("CHRONIK_CHAOS_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	ctx := t.Context()

	load := NewLoad("t", 3, 12)
	node := serve(ctx, t, bin, dir)
	createTopic(t, node.URL, `{"name":"t","partitions":3}`)
	load.Target(node.URL)
	loadCtx, stopLoad := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		load.Run(loadCtx)
	}()

	kills, slowest := 0, time.Duration(0)
	for end := time.Now().Add(duration); time.Now().Before(end); kills++ {
		select {
		case <-time.After(time.Duration(50+random.IntN(700)) * time.Millisecond):
		case <-node.Done():
			t.Fatalf("the node ended by itself (exit code %d):\n%s", node.ExitCode(), node.Log())
		}
		node.Kill()
		node = serve(ctx, t, bin, dir)
		slowest = max(slowest, node.Startup)
		load.Target(node.URL)
	}
	stopLoad()
	<-ended

	records, faults := Check(load, node.URL)
	if err := node.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
	h := load.History
	t.Logf("%d kills, slowest start %v, %d values sent, %d acknowledged, %d in the log, %d duplicates answered, %d seen",
		kills, slowest, len(h.Sent), len(h.Acked), records, h.Duplicates, len(h.Seen))
	if len(h.Acked) < 100 || len(h.Seen) < 100 || kills < 3 {
		t.Errorf("too little happened to prove anything")
	}
	if len(faults) > 0 {
		t.Errorf("promises broken:\n%s", strings.Join(faults, "\n"))
	}
}

// A checker that can't fail proves nothing.
func TestCheckFindsFaults(t *testing.T) {
	h := NewHistory()
	h.sent("a")
	h.acked("a", Place{0, 0}, true, false)
	h.saw(Place{0, 0}, "a")
	h.saw(Place{0, 0}, "b")
	if len(h.Faults) != 2 {
		t.Errorf("faults: %q", h.Faults)
	}
	c := checker{history: h, at: map[string]Place{}}
	c.note(Place{0, 0}, "a")
	c.note(Place{0, 1}, "a")
	c.note(Place{0, 2}, "never sent")
	if len(c.faults) != 2 {
		t.Errorf("faults: %q", c.faults)
	}
}

func serve(ctx context.Context, t *testing.T, bin, dir string, args ...string) *Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	p, err := Serve(ctx, bin, dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func createTopic(t *testing.T, url, spec string) {
	t.Helper()
	resp, err := http.Post(url+"/v1/topics", "application/json", strings.NewReader(spec))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("create topic: %s %s", resp.Status, body)
	}
	http.DefaultClient.CloseIdleConnections()
}

func seedFromEnv(t *testing.T) uint64 {
	s := os.Getenv("CHRONIK_CHAOS_SEED")
	if s == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("CHRONIK_CHAOS_SEED: %v", err)
	}
	return seed
}
