package peer

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func frames() []frame {
	return []frame{
		{kind: kindCall, id: 1 << 40, method: 7, left: 1500 * time.Millisecond, payload: []byte("payload")},
		{kind: kindAnswer, id: 2, payload: []byte{}},
		{kind: kindRefusal, id: 3, payload: []byte("no")},
		{kind: kindCancel, id: 4},
	}
}

func FuzzFrame(f *testing.F) {
	for _, x := range frames() {
		f.Add(x.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		var x, again frame
		if _, err := x.decode(b); err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatal(err)
			}
			return
		}
		if rest, err := again.decode(x.append(nil)); err != nil || len(rest) != 0 {
			t.Fatal(err, len(rest))
		}
		if d := cmp.Diff(x, again, cmp.AllowUnexported(frame{})); d != "" {
			t.Fatal(d)
		}
	})
}

func TestCutFrames(t *testing.T) {
	for _, x := range frames() {
		whole := x.append(nil)
		for n := 1; n < len(whole); n++ {
			var got frame
			if _, err := got.decode(whole[:n]); !errors.Is(err, ErrFrame) {
				t.Fatalf("%+v cut at %d: %v", x, n, err)
			}
		}
	}
}
