package servertest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chroniklog/chronik/raft/wire"
)

// treeSums are the checksums of a data directory's files: records, journal and
// identities, but not what each start writes: the checkpoint, and the metadata
// stores of a sole voter, which begins a term before it knows of others.
func treeSums(t *testing.T, dir string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		started := strings.HasPrefix(name, "raft/") && name != "raft/identity" || strings.HasPrefix(name, "logs/checkpoint")
		if err != nil || e.IsDir() || started {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		sums[name] = fmt.Sprintf("%d bytes, %x", len(b), sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// hello is the handshake of a peer that speaks other versions; see raft/wire.
func hello(newest, oldest uint16) []byte {
	body := append([]byte{1, 0}, make([]byte, 12+12)...) // calls, no status, nobody
	body = append(body, 0, 0)                            // no cluster, no text
	b := binary.LittleEndian.AppendUint16([]byte("CHKP"), newest)
	b = binary.LittleEndian.AppendUint16(b, oldest)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(body)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return append(b, body...)
}

// A peer of the next release, which still speaks this one, is let in; one of
// the release after that is refused with both versions and what to do.
func TestClusterPeerVersions(t *testing.T) {
	n := Start(t)
	var cluster struct {
		Nodes []struct {
			Peer string `json:"peer"`
		} `json:"nodes"`
	}
	call(t, n, "GET /v1/cluster", "").want(t, http.StatusOK).decode(t, &cluster)
	for _, tc := range []struct {
		newest, oldest uint16
		status         byte
		text           string
	}{
		{wire.Version + 1, wire.Version, 0, ""},
		{wire.Version, wire.Version, 0, ""},
		{wire.Version + 2, wire.Version + 1, 1, fmt.Sprintf("%d to %d: upgrade node", wire.Version+1, wire.Version+2)},
	} {
		conn, err := net.Dial("tcp", cluster.Nodes[0].Peer)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(hello(tc.newest, tc.oldest)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 1024)
		size, err := io.ReadAtLeast(conn, answer, 14+28)
		if err != nil {
			t.Fatal(err)
		}
		answer = answer[:size]
		if status := answer[15]; status != tc.status || !bytes.Contains(answer, []byte(tc.text)) {
			t.Errorf("%d to %d: status %d, %q", tc.oldest, tc.newest, status, answer[14:])
		}
	}
}
