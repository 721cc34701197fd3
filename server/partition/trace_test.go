package partition

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/chroniklog/chronik/storage/record"
)

// trace drives a State by the commands of a testdata file. Time is 0 unless a
// command has now=.
type trace struct {
	t *testing.T
	s *State
	d *datadriven.TestData
	p *Proposal
}

func TestTraces(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		tr := &trace{t: t}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			tr.t, tr.d = t, d
			return tr.run()
		})
	})
}

func (tr *trace) run() string {
	commands := map[string]func() string{
		"new": tr.new, "apply": tr.apply, "config": tr.config, "record": tr.record, "batch": tr.batch,
		"fence": tr.fence, "flushed": tr.flushed, "fetch": tr.fetch, "tick": tr.tick, "refused": tr.refused,
		"exclude": tr.exclude,
		"read":    tr.read, "truncate": tr.truncate, "follow": tr.follow, "state": tr.state,
		"keys": tr.keys, "key": tr.key, "trim": tr.trim,
	}
	cmd, ok := commands[tr.d.Cmd]
	if !ok {
		tr.d.Fatalf(tr.t, "unknown command")
	}
	return cmd()
}

func (tr *trace) has(name string) bool { return tr.d.HasArg(name) }

func (tr *trace) num(name string, def int64) int64 {
	if tr.has(name) {
		var s string
		tr.d.ScanArgs(tr.t, name, &s)
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			tr.d.Fatalf(tr.t, "%s: %v", name, err)
		}
		return n
	}
	return def
}

func (tr *trace) str(name, def string) string {
	if tr.has(name) {
		tr.d.ScanArgs(tr.t, name, &def)
	}
	return strings.Trim(def, `"`)
}

func (tr *trace) nodes(name string) (nodes []int32) {
	for _, f := range strings.Split(tr.str(name, ""), "/") {
		if n, err := strconv.Atoi(f); err == nil {
			nodes = append(nodes, int32(n))
		}
	}
	return nodes
}

// numbers are those of an argument like 7/0/12.
func (tr *trace) numbers(name string, want int) []int64 {
	parts := strings.Split(tr.str(name, ""), "/")
	if len(parts) != want {
		tr.d.Fatalf(tr.t, "%s needs %d numbers", name, want)
	}
	out := make([]int64, want)
	for i, p := range parts {
		n, err := strconv.ParseInt(p, 10, 64)
		if err != nil {
			tr.d.Fatalf(tr.t, "%s: %v", name, err)
		}
		out[i] = n
	}
	return out
}

func (tr *trace) new() string {
	cfg := DefaultConfig()
	cfg.MinISR = int(tr.num("min-isr", 1))
	cfg.Compact = tr.has("compact")
	tr.s = New(int32(tr.num("node", 1)), cfg, Limits{
		Keys: int(tr.num("keys", 0)), IdempotencyKeys: int(tr.num("idem", 0)), Producers: int(tr.num("producers", 0)),
	})
	tr.p = nil
	return tr.state()
}

func (tr *trace) config() string {
	cfg := tr.s.Config()
	cfg.MinISR = int(tr.num("min-isr", int64(cfg.MinISR)))
	return fmt.Sprintf("advanced=%v\n%s", tr.s.SetConfig(cfg), tr.state())
}

func (tr *trace) apply() string {
	changed := tr.s.Apply(Leadership{
		Leader: int32(tr.num("leader", 0)), LeaderEpoch: int32(tr.num("epoch", 0)),
		PartitionEpoch: int32(tr.num("pe", 0)), Replicas: tr.nodes("replicas"), ISR: tr.nodes("isr"),
	})
	return fmt.Sprintf("changed=%v\n%s", changed, tr.state())
}

func (tr *trace) conditions() Conditions {
	c := NoConditions
	c.ExpectOffset = tr.num("expect", NoOffset)
	c.IfKeyOffset = tr.num("if-key", NoOffset)
	c.IfKeyAbsent = tr.has("if-absent")
	if tr.has("fence") {
		f := tr.str("fence", "")
		c.Fence = &f
	}
	return c
}

func (tr *trace) acks() Acks { return Acks(tr.num("acks", int64(AcksAll))) }

func (tr *trace) record() string {
	now := tr.num("now", 0)
	a := RecordAppend{Value: []byte("v"), Acks: tr.acks(), Cond: tr.conditions(), Timestamp: -1}
	if tr.has("key") {
		a.Key = []byte(tr.str("key", ""))
	}
	if tr.has("null") {
		a.Value = nil
	}
	if tr.has("seq") {
		n := tr.numbers("seq", 3)
		a.Producer = &ProducerSeq{ID: n[0], Epoch: int16(n[1]), Seq: int32(n[2])}
	}
	if tr.has("idem") {
		a.IdempotencyKey = tr.str("idem", "")
		a.BodyHash[0] = byte(tr.num("body", 0))
	}
	var known *KnownKey
	if tr.has("known") {
		n := tr.numbers("known", 3)
		known = &KnownKey{Below: n[0], Offset: n[1], Live: n[2] == 1}
	}
	v := tr.s.CheckRecord(now, &a, known)
	if v.Final() {
		return verdict(&v)
	}
	return fmt.Sprintf("offset=%d\n", tr.s.StageRecord(now, &a, now))
}

func (tr *trace) batch() string {
	now, count := tr.num("now", 0), int32(tr.num("count", 1))
	b := record.NewBuilder(record.CodecNone)
	for range count {
		b.Append(now, []byte("k"), []byte("v"), nil)
	}
	if tr.has("seq") {
		n := tr.numbers("seq", 3)
		b.SetProducer(n[0], int16(n[1]), int32(n[2]))
	}
	a := BatchAppend{Batch: b.Build(nil), Acks: tr.acks(), Cond: tr.conditions()}
	var err error
	if a.Header, err = record.ParseHeader(a.Batch); err != nil {
		tr.d.Fatalf(tr.t, "%v", err)
	}
	v := tr.s.CheckBatch(now, &a)
	if v.Final() {
		return verdict(&v)
	}
	return fmt.Sprintf("base=%d end=%d\n", tr.s.StageBatch(now, &a.Header, now, nil), tr.s.End())
}

func (tr *trace) fence() string {
	var expect *string
	if tr.has("expect") {
		e := tr.str("expect", "")
		expect = &e
	}
	v := tr.s.CheckFence(tr.str("token", ""), expect)
	if v.Final() {
		return verdict(&v)
	}
	return fmt.Sprintf("offset=%d\n", tr.s.StageFence(tr.str("token", "")))
}

func verdict(v *Verdict) string {
	switch {
	case v.NeedKey:
		return "look the key up\n"
	case v.Duplicate:
		return fmt.Sprintf("duplicate of %d..%d timestamp=%d cites=%d\n",
			v.Answer.Offset, v.Answer.LastOffset, v.Answer.Timestamp, v.Cites)
	}
	return fmt.Sprintf("error cites=%d: %v\n", v.Cites, v.Err)
}

func (tr *trace) flushed() string {
	return fmt.Sprintf("advanced=%v hw=%d\n", tr.s.Flushed(tr.num("end", 0)), tr.s.HighWatermark())
}

func (tr *trace) fetch() string {
	f := Fetch{
		Node: int32(tr.num("node", 2)), BrokerEpoch: uint64(tr.num("be", 1)),
		LeaderEpoch: int32(tr.num("epoch", int64(tr.s.LeaderEpoch()))),
		Offset:      tr.num("offset", 0), Flushed: tr.num("flushed", 0),
	}
	mine := EpochEnd{Epoch: tr.s.LeaderEpoch(), End: tr.s.End()}
	if tr.has("mine") {
		n := tr.numbers("mine", 2)
		mine = EpochEnd{Epoch: int32(n[0]), End: n[1]}
	}
	a, err := tr.s.Fetched(tr.num("now", 0), &f, int32(tr.num("last", int64(mine.Epoch))), mine)
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	out := fmt.Sprintf("hw=%d advanced=%v", a.HighWatermark, a.Advanced)
	if a.Diverging != nil {
		out += fmt.Sprintf(" diverging epoch=%d end=%d", a.Diverging.Epoch, a.Diverging.End)
	}
	return out + "\n"
}

func (tr *trace) tick() string {
	p := tr.s.Propose(tr.num("now", 0))
	if p == nil {
		return "nothing\n"
	}
	tr.p = p
	return fmt.Sprintf("propose epoch=%d pe=%d isr=%v\n", p.LeaderEpoch, p.PartitionEpoch, p.ISR)
}

func (tr *trace) exclude() string {
	left, advanced := tr.s.Exclude(tr.p, []int32{int32(tr.num("node", 0))})
	if tr.p = left; left == nil {
		return fmt.Sprintf("advanced=%v hw=%d nothing is left\n", advanced, tr.s.HighWatermark())
	}
	return fmt.Sprintf("advanced=%v hw=%d propose epoch=%d pe=%d isr=%v\n", advanced, tr.s.HighWatermark(),
		left.LeaderEpoch, left.PartitionEpoch, left.ISR)
}

func (tr *trace) refused() string {
	return fmt.Sprintf("advanced=%v hw=%d\n", tr.s.ProposalFailed(tr.p), tr.s.HighWatermark())
}

func (tr *trace) read() string {
	end, err := tr.s.ReadEnd(tr.num("from", 0))
	tail := "known"
	if e := tr.s.TailKnown(); e != nil {
		tail = e.Error()
	}
	if err != nil {
		return fmt.Sprintf("error: %v; tail: %s\n", err, tail)
	}
	return fmt.Sprintf("up to %d; tail: %s\n", end, tail)
}

func (tr *trace) truncate() string {
	d, m := tr.numbers("leader", 2), tr.numbers("mine", 2)
	return fmt.Sprintf("to %d\n", TruncateTo(EpochEnd{int32(d[0]), d[1]}, EpochEnd{int32(m[0]), m[1]}, tr.num("end", 0)))
}

// follow: a follower's log grew to end and the leader's watermark is hw.
func (tr *trace) follow() string {
	tr.s.Replayed(tr.num("end", tr.s.End()))
	advanced := tr.s.Followed(&FetchAnswer{HighWatermark: tr.num("hw", 0)})
	return fmt.Sprintf("advanced=%v hw=%d\n", advanced, tr.s.HighWatermark())
}

// keys begins the index; the input lines are what a scan of the log finds:
// offset key, with a minus for a tombstone.
func (tr *trace) keys() string {
	from := tr.s.ActivateKeys()
	scan := tr.s.NewKeyScan()
	for _, line := range strings.Split(strings.TrimSpace(tr.d.Input), "\n") {
		var offset int64
		var key string
		if _, err := fmt.Sscan(line, &offset, &key); err == nil {
			live := !strings.HasSuffix(key, "-")
			scan.Add(offset, from, []BatchKey{{Hash: HashKey([]byte(strings.TrimSuffix(key, "-"))), Live: live}})
		}
	}
	tr.s.MergeKeys(from, scan)
	return fmt.Sprintf("from=%d floor=%d\n", from, tr.s.KeyFloor())
}

func (tr *trace) key() string {
	k, ok := tr.s.LookupSettled(HashKey([]byte(tr.str("key", ""))), nil)
	return fmt.Sprintf("offset=%d live=%v known=%v floor=%d\n", k.Offset, k.Live, ok, tr.s.KeyFloor())
}

func (tr *trace) trim() string {
	return fmt.Sprintf("moved=%v\n", tr.s.SetLogStart(tr.num("start", 0)))
}

func (tr *trace) state() string {
	s := tr.s
	token, at := s.Fence()
	return fmt.Sprintf("%s of epoch %d, leader %d, isr %v; start=%d hw=%d flushed=%d end=%d fence=%q@%d\n",
		s.Role(), s.LeaderEpoch(), s.Leader(), s.ISR(), s.Offsets().LogStart,
		s.HighWatermark(), s.FlushedEnd(), s.End(), token, at)
}

func TestTypedErrorsMatchTheirSentinels(t *testing.T) {
	for _, c := range []struct {
		err, sentinel error
	}{
		{&NotLeaderError{Leader: 2, Epoch: 1}, ErrNotLeader},
		{&OffsetTrimmedError{Offset: 1, LogStart: 2}, ErrOffsetTrimmed},
		{&OffsetBeyondEndError{Offset: 2, HighWatermark: 1}, ErrOffsetBeyondEnd},
		{&ThrottledError{}, ErrThrottled},
		{&OffsetConflictError{Expected: 1, Current: 2}, ErrOffsetConflict},
		{&KeyPreconditionError{Current: 1}, ErrKeyPrecondition},
		{&SequenceGapError{Expected: 1}, ErrSequenceGap},
	} {
		if !errors.Is(fmt.Errorf("append: %w", c.err), c.sentinel) || errors.Is(c.err, ErrFenced) {
			t.Errorf("%T does not match just its sentinel", c.err)
		}
	}
}
