package kafka

import (
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const supportFile = "../docs/KAFKA.md"

// docs/KAFKA.md is what the code says.
func TestSupportFile(t *testing.T) {
	want := Support()
	if os.Getenv("CHRONIK_UPDATE") != "" {
		if err := os.WriteFile(supportFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(supportFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says: run CHRONIK_UPDATE=1 go test ./kafka", supportFile)
	}
}

// The table is in order, within what the codec knows, and every row answers.
func TestTable(t *testing.T) {
	rows := table(true)
	for i, a := range rows {
		req := kmsg.RequestForKey(a.key)
		switch {
		case i > 0 && rows[i-1].key >= a.key:
			t.Errorf("%s is out of order", a.name)
		case req == nil || a.min < 0 || a.max < a.min || a.max > req.MaxVersion() || a.advertised > a.min:
			t.Errorf("%s has versions %d to %d, advertised from %d", a.name, a.min, a.max, a.advertised)
		case a.answer == nil:
			t.Errorf("%s has no answer", a.name)
		}
		if find(rows, a.key).name != a.name {
			t.Errorf("%s is not found", a.name)
		}
	}
}
