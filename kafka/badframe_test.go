package kafka_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/kafka"
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/storage/record"
)

// frame makes a request of any bytes.
func frame(key, version int16, rest ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(rest)))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = append(b, 0, 0, 0, 1)
	return append(b, rest...)
}

// What is no request closes its connection, at once and alone.
func TestBadFrames(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 1, nil)
	huge := frame(0, 9)
	binary.BigEndian.PutUint32(huge, 1<<31-1)
	negative := frame(3, 9)
	binary.BigEndian.PutUint32(negative, 1<<32-5)
	large := frame(3, 9)
	binary.BigEndian.PutUint32(large, 50<<20)
	other := b.raw(t)
	tests := map[string][]byte{
		"huge length":          huge,
		"negative length":      negative,
		"large and no produce": large,
		"unknown key":          frame(9999, 0, 0xff, 0xff),
		"negative key":         frame(-1, 0, 0xff, 0xff),
		"unknown version":      frame(3, 99, 0xff, 0xff),
		"old produce":          frame(0, 2, 0xff, 0xff),
		"client id cut short":  frame(3, 1, 0, 50, 'x'),
		"no client id":         frame(3, 1),
		"body cut short":       frame(3, 1, 0xff, 0xff, 0, 0, 0, 2, 0),
		"huge array":           frame(3, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff),
		"produce cut short":    frame(0, 3, 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0),
		"produce huge array":   frame(0, 3, 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff),
		"produce negative":     frame(0, 3, 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0x80, 0, 0, 0),
	}
	for name, bytes := range tests {
		t.Run(name, func(t *testing.T) {
			r := b.raw(t)
			r.write(bytes)
			r.closed()
			other.t = t
			wantCode(t, produced(other.ask(produceTo(9, "t", 0, batch(record.CodecNone, "a")))).ErrorCode, nil)
		})
	}
}

// Half a frame waits for its other half, and its connection is closed when
// that takes too long.
func TestHalfFrames(t *testing.T) {
	b := start(t, kafka.Limits{Idle: 300 * time.Millisecond, Transfer: 300 * time.Millisecond})
	req := kmsg.NewPtrMetadataRequest()
	whole := kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)
	r := b.raw(t)
	for _, x := range whole {
		r.write([]byte{x})
	}
	r.receive(req, 1)
	for _, n := range []int{0, 3, 9, len(whole) - 1} {
		r := b.raw(t)
		r.write(whole[:n])
		r.closed()
	}
}

// ApiVersions of any version is answered (KIP-511).
func TestApiVersions(t *testing.T) {
	b := start(t, kafka.Limits{})
	r := b.raw(t)
	for v := int16(0); v <= 5; v++ {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = v, "chronik-test", "1.0"
		resp := r.ask(req).(*kmsg.ApiVersionsResponse)
		wantCode(t, resp.ErrorCode, nil)
		if len(resp.ApiKeys) < 10 {
			t.Errorf("version %d: %d keys", v, len(resp.ApiKeys))
		}
		for _, k := range resp.ApiKeys {
			if k.ApiKey == 0 && k.MinVersion != 0 {
				t.Errorf("Produce is advertised from %d", k.MinVersion)
			}
		}
	}
	r.write(frame(18, 77, 1, 2, 3))
	resp := kmsg.NewPtrApiVersionsResponse()
	if err := resp.ReadFrom(r.body(1)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, resp.ErrorCode, kerr.UnsupportedVersion)
	if len(resp.ApiKeys) < 10 {
		t.Errorf("%d keys beside the error", len(resp.ApiKeys))
	}
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 3, "no blanks", "1"
	wantCode(t, r.ask(req).(*kmsg.ApiVersionsResponse).ErrorCode, kerr.InvalidRequest)
	req.Version, req.ClientSoftwareName = 5, "x"
	req.ClusterID, req.NodeID = kmsg.StringPtr("another"), 1
	wantCode(t, r.ask(req).(*kmsg.ApiVersionsResponse).ErrorCode, kerr.RebootstrapRequired)
}

// A shutdown answers what was read and ends waiting fetches.
func TestShutdown(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 1, nil)
	b.topic(t, "u", 1, nil)
	r := b.raw(t)
	req := fetchFrom("t", 0, 0)
	req.MaxWaitMillis = 15_000
	id := r.send(req)
	late := produceTo(9, "u", 0, batch(record.CodecNone, "read after the fetch"))
	second := r.send(late)
	if _, err := b.Broker.Read(within(t, 10*time.Second), server.ReadRequest{Topic: "u", Wait: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	b.Broker.Drain()
	if err := b.listener.Shutdown(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	resp := r.receive(req, id).(*kmsg.FetchResponse)
	wantCode(t, resp.Topics[0].Partitions[0].ErrorCode, nil)
	wantCode(t, produced(r.receive(late, second)).ErrorCode, nil)
	r.closed()
}
