package kafka

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/chroniklog/chronik/server"
)

// surface are the packages whose errors can reach a Kafka client.
var surface = []string{
	"server", "server/partition", "server/replica", "storage/record", "storage/plog", "raft", "raft/meta",
	"server/group", "server/coordinator",
}

// Every exported sentinel of the packages below has a row in sentinels.
func TestEverySentinelHasACode(t *testing.T) {
	mapped := mappedSentinels(t)
	for _, dir := range surface {
		found := 0
		for _, name := range exportedSentinels(t, filepath.Join("..", dir)) {
			found++
			if !mapped[dir+"."+name] {
				t.Errorf("%s.%s has no Kafka code: add it to sentinels", dir, name)
			}
		}
		if found == 0 {
			t.Errorf("no sentinel was found in %s", dir)
		}
	}
}

// exportedSentinels are the Err… variables that a package makes itself, not
// those that it only renames.
func exportedSentinels(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, v := range variables(t, path) {
			for i, name := range v.Names {
				if !strings.HasPrefix(name.Name, "Err") || i >= len(v.Values) {
					continue
				}
				if _, renamed := v.Values[i].(*ast.SelectorExpr); !renamed {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

func variables(t *testing.T, path string) (list []*ast.ValueSpec) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range file.Decls {
		if g, ok := decl.(*ast.GenDecl); ok && g.Tok == token.VAR {
			for _, spec := range g.Specs {
				list = append(list, spec.(*ast.ValueSpec))
			}
		}
	}
	return list
}

// mappedSentinels reads errors.go as "dir.Name".
func mappedSentinels(t *testing.T) map[string]bool {
	t.Helper()
	src, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	dirs := make(map[string]string)
	for _, imp := range file.Imports {
		path := strings.Trim(imp.Path.Value, `"`)
		dirs[path[strings.LastIndexByte(path, '/')+1:]] = strings.TrimPrefix(path, "github.com/chroniklog/chronik/")
	}
	mapped := make(map[string]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if on, ok := sel.X.(*ast.Ident); ok {
				mapped[dirs[on.Name]+"."+sel.Sel.Name] = true
			}
		}
		return true
	})
	return mapped
}

// Each sentinel, wrapped, gets its own row's code, which Kafka knows; its text
// goes to the client unless it is internal.
func TestSentinelsBecomeCodes(t *testing.T) {
	for _, m := range sentinels {
		err := fmt.Errorf("append orders/3: %w", m.sentinel)
		if got := codeOf(err); got != m.code {
			t.Errorf("%v: code %d, want %d", m.sentinel, got, m.code)
		}
		if kerr.ErrorForCode(m.code) == nil {
			t.Errorf("%v: success", m.sentinel)
		}
		if hidden := *message(err) != err.Error(); hidden != (m.code == codeUnknown) {
			t.Errorf("%v: message %q", m.sentinel, *message(err))
		}
	}
	if got := codeOf(errors.New("disk sector 7")); got != codeUnknown {
		t.Errorf("an unforeseen error has code %d", got)
	}
	if got := codeOf(&server.TimestampError{}); got != codeInvalidTimestamp {
		t.Errorf("a timestamp out of range has code %d", got)
	}
}

// The codes are Kafka's own.
func TestCodesAreKafkas(t *testing.T) {
	for code, want := range map[int16]error{
		codeOffsetOutOfRange: kerr.OffsetOutOfRange, codeCorruptMessage: kerr.CorruptMessage,
		codeUnknownTopic: kerr.UnknownTopicOrPartition, codeLeaderNotAvailable: kerr.LeaderNotAvailable,
		codeNotLeader: kerr.NotLeaderForPartition, codeRequestTimedOut: kerr.RequestTimedOut,
		codeMessageTooLarge: kerr.MessageTooLarge, codeInvalidTopic: kerr.InvalidTopicException,
		codeNotEnoughReplicas: kerr.NotEnoughReplicas, codeInvalidAcks: kerr.InvalidRequiredAcks,
		codeInvalidTimestamp: kerr.InvalidTimestamp, codeUnsupportedVersion: kerr.UnsupportedVersion,
		codeTopicExists: kerr.TopicAlreadyExists, codeInvalidPartitions: kerr.InvalidPartitions,
		codeInvalidReplication: kerr.InvalidReplicationFactor, codeInvalidAssignment: kerr.InvalidReplicaAssignment,
		codeInvalidConfig: kerr.InvalidConfig, codeInvalidRequest: kerr.InvalidRequest,
		codeOutOfOrderSequence: kerr.OutOfOrderSequenceNumber, codeDuplicateSequence: kerr.DuplicateSequenceNumber,
		codeInvalidProducerEpoch: kerr.InvalidProducerEpoch, codeStorageError: kerr.KafkaStorageError,
		codeFetchSessionNotFound: kerr.FetchSessionIDNotFound, codeFetchSessionEpoch: kerr.InvalidFetchSessionEpoch,
		codeFencedLeaderEpoch: kerr.FencedLeaderEpoch, codeUnknownLeaderEpoch: kerr.UnknownLeaderEpoch,
		codeUnsupportedCompression: kerr.UnsupportedCompressionType, codeStaleBrokerEpoch: kerr.StaleBrokerEpoch,
		codeOffsetNotAvailable: kerr.OffsetNotAvailable, codeInvalidRecord: kerr.InvalidRecord,
		codeUnknownTopicID: kerr.UnknownTopicID, codeFetchSessionTopicID: kerr.FetchSessionTopicIDError,
		codeMismatchedEndpoint: kerr.MismatchedEndpointType, codeUnsupportedEndpoint: kerr.UnsupportedEndpointType,
		codeMetadataTooLarge: kerr.OffsetMetadataTooLarge, codeCoordinatorLoading: kerr.CoordinatorLoadInProgress,
		codeCoordinatorNotAvailable: kerr.CoordinatorNotAvailable, codeNotCoordinator: kerr.NotCoordinator,
		codeIllegalGeneration: kerr.IllegalGeneration, codeInconsistentProtocol: kerr.InconsistentGroupProtocol,
		codeInvalidGroup: kerr.InvalidGroupID, codeUnknownMember: kerr.UnknownMemberID,
		codeInvalidSession: kerr.InvalidSessionTimeout, codeRebalance: kerr.RebalanceInProgress,
		codeNonEmptyGroup: kerr.NonEmptyGroup, codeUnknownGroup: kerr.GroupIDNotFound,
		codeMemberIDRequired: kerr.MemberIDRequired, codeGroupFull: kerr.GroupMaxSizeReached,
		codeFencedInstance: kerr.FencedInstanceID, codeGroupSubscribed: kerr.GroupSubscribedToTopic,
		codeRebootstrapRequired: kerr.RebootstrapRequired, codeBrokerNotAvailable: kerr.BrokerNotAvailable,
	} {
		if got := kerr.ErrorForCode(code); !errors.Is(got, want) {
			t.Errorf("%d is %v, want %v", code, got, want)
		}
	}
}
