package compat

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"reflect"
	"sort"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// identities are the fields that name an element of a list, in the order in
// which they are looked for: lists are compared by name, not by position.
var identities = []string{
	"Topic", "Name", "ConfigName", "ResourceName", "Group", "Partition", "ApiKey", "APIKey", "NodeID", "ReplicaID", "Dir",
}

// chosen are fields that a broker fills as it likes: only whether they are set
// is compared.
var chosen = map[string]bool{
	"TopicID": true, "ClusterID": true, "Port": true, "ProducerID": true, "MemberID": true,
	"LogAppendTime": true, "SessionID": true, "Dir": true, "Size": true, "TotalBytes": true, "UsableBytes": true,
	"ReplicaDirectoryID": true, "ClientHost": true,
}

// passed over are fields that say nothing of the protocol.
var passedOver = map[string]bool{
	"Version": true, "ThrottleMillis": true, "UnknownTags": true, "ErrorMessage": true,
}

// flatten lists what an answer says: a value per path.
func flatten(v any) map[string]string {
	out := map[string]string{}
	flattenInto(out, "", "", reflect.ValueOf(v))
	return out
}

func flattenInto(out map[string]string, at, field string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			out[at] = "null"
			return
		}
		flattenInto(out, at, field, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if !passedOver[name] {
				flattenInto(out, strings.TrimPrefix(at+"."+name, "."), name, v.Field(i))
			}
		}
	case reflect.Slice:
		switch {
		case v.Type().Elem().Kind() == reflect.Uint8:
			out[at] = hex.EncodeToString(v.Bytes())
			return
		case v.Type().Elem().Kind() != reflect.Struct:
			out[at] = fmt.Sprint(v.Interface())
			return
		}
		if v.Len() == 0 {
			out[at] = "empty"
		}
		for i := range v.Len() {
			element := at + "[" + identity(v.Index(i), i) + "]"
			out[element] = "there"
			flattenInto(out, element, field, v.Index(i))
		}
	default:
		text := fmt.Sprint(v.Interface())
		if chosen[field] || field == "LeaderID" && v.Kind() == reflect.String {
			text = "set"
			if v.IsZero() || fmt.Sprint(v.Interface()) == "-1" {
				text = "unset"
			}
		}
		out[at] = text
	}
}

// identity names an element of a list.
func identity(v reflect.Value, i int) string {
	if m, ok := v.Interface().(kmsg.ConsumerGroupDescribeResponseGroupMember); ok {
		return m.MemberID // the test has made it
	}
	for _, name := range identities {
		f := v.FieldByName(name)
		if !f.IsValid() {
			continue
		}
		if f.Kind() == reflect.Pointer {
			if f.IsNil() {
				continue
			}
			f = f.Elem()
		}
		if name == "Dir" {
			break
		}
		return fmt.Sprint(f.Interface())
	}
	return fmt.Sprint(i)
}

// difference is a place where two answers differ.
type difference struct {
	what, path     string
	kafka, chronik string
}

func compare(what string, kafka, chronik map[string]string) (list []difference) {
	paths := map[string]bool{}
	for p := range kafka {
		paths[p] = true
	}
	for p := range chronik {
		paths[p] = true
	}
	for p := range paths {
		k, inKafka := kafka[p]
		c, inChronik := chronik[p]
		if !inKafka {
			k = "absent"
		}
		if !inChronik {
			c = "absent"
		}
		if k != c && !within(p, kafka, chronik) {
			list = append(list, difference{what: what, path: p, kafka: k, chronik: c})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].path < list[j].path })
	return list
}

// within tells whether a path leads into an element that one of the lists does
// not have: the element itself is difference enough.
func within(p string, kafka, chronik map[string]string) bool {
	for i, c := range p {
		if c != ']' || i == len(p)-1 {
			continue
		}
		_, inKafka := kafka[p[:i+1]]
		if _, inChronik := chronik[p[:i+1]]; inKafka != inChronik {
			return true
		}
	}
	return false
}

// known is a difference that is meant, as testdata/oracle.txt lists it: a
// pattern for the request, one for the path, and the reason.
type known struct {
	what, path, reason string
	used               bool
}

func readKnown(t *testing.T) (list []*known) {
	t.Helper()
	f, err := os.Open("testdata/oracle.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, reason, ok := strings.Cut(line, " # ")
		what, at, both := strings.Cut(strings.TrimSpace(pattern), " | ")
		if !ok || !both {
			t.Fatalf("testdata/oracle.txt: %q is not REQUEST | PATH # REASON", line)
		}
		list = append(list, &known{what: strings.TrimSpace(what), path: strings.TrimSpace(at), reason: reason})
	}
	return list
}

// matches tells whether the list knows a difference.
func (k *known) matches(d *difference) bool {
	return glob(k.what, d.what) && glob(k.path, d.path)
}

// glob matches with "*" for any text; brackets mean themselves.
func glob(pattern, text string) bool {
	escape := strings.NewReplacer("[", "\\[", "]", "\\]", "/", "\\/")
	ok, err := path.Match(escape.Replace(pattern), strings.ReplaceAll(text, "/", "\\"))
	return err == nil && ok
}
