package api

import (
	"bytes"
	"strings"
)

// text is JSON text under the hands of a scanner.
type text struct {
	buf   []byte
	pos   int
	arena []byte // what had to be decoded
}

// syntax is the error for text that is not JSON.
func (t *text) syntax(format string, args ...any) error {
	e := badRequest(CodeInvalidJSON, format, args...)
	e.Detail += " (byte " + itoa(int64(t.pos)) + ")"
	return e
}

// space skips white space.
func (t *text) space() {
	for t.pos < len(t.buf) {
		switch t.buf[t.pos] {
		case ' ', '\t', '\n', '\r':
			t.pos++
		default:
			return
		}
	}
}

// peek is the next byte that is not white space, 0 at the end.
func (t *text) peek() byte {
	t.space()
	if t.pos == len(t.buf) {
		return 0
	}
	return t.buf[t.pos]
}

// object reads an object and calls member at each member's value, with its
// name, which is valid until then only.
func (t *text) object(member func(name []byte) error) error {
	if t.peek() != '{' {
		return t.want("an object")
	}
	t.pos++
	if t.peek() == '}' {
		t.pos++
		return nil
	}
	for {
		if t.peek() != '"' {
			return t.syntax("want a member's name in quotes, have %s", t.have())
		}
		name, err := t.str()
		if err != nil {
			return err
		}
		if t.peek() != ':' {
			return t.syntax("want a colon after the member's name, have %s", t.have())
		}
		t.pos++
		if err := member(name); err != nil {
			return err
		}
		switch t.peek() {
		case ',':
			t.pos++
		case '}':
			t.pos++
			return nil
		default:
			return t.syntax("want a comma or the end of the object, have %s", t.have())
		}
	}
}

// array reads an array and calls element at each element.
func (t *text) array(element func(i int) error) error {
	if t.peek() != '[' {
		return t.want("an array")
	}
	t.pos++
	if t.peek() == ']' {
		t.pos++
		return nil
	}
	for i := 0; ; i++ {
		if err := element(i); err != nil {
			return err
		}
		switch t.peek() {
		case ',':
			t.pos++
		case ']':
			t.pos++
			return nil
		default:
			return t.syntax("want a comma or the end of the array, have %s", t.have())
		}
	}
}

// stringOrNull reads a string, or null as nil.
func (t *text) stringOrNull() ([]byte, error) {
	switch t.peek() {
	case '"':
		return t.str()
	case 'n':
		if t.literal("null") {
			return nil, nil
		}
	}
	return nil, t.want("a string or null")
}

func (t *text) literal(word string) bool {
	if len(t.buf)-t.pos < len(word) || string(t.buf[t.pos:t.pos+len(word)]) != word {
		return false
	}
	t.pos += len(word)
	return true
}

// integer reads a whole number from 0 to limit, without fraction or exponent.
func (t *text) integer(limit int64) (int64, error) {
	c := t.peek()
	if c == '-' {
		return 0, badRequest(CodeInvalidField, "want a whole number from 0 to %d, have a negative one", limit)
	}
	if c < '0' || c > '9' {
		return 0, t.want("a whole number")
	}
	start := t.pos
	n := int64(0)
	for ; t.pos < len(t.buf) && t.buf[t.pos] >= '0' && t.buf[t.pos] <= '9'; t.pos++ {
		if n > limit {
			continue // stays above: the digits are only passed over
		}
		n = n*10 + int64(t.buf[t.pos]-'0') // limit < 2⁵³: no overflow
	}
	if t.pos < len(t.buf) && (t.buf[t.pos] == '.' || t.buf[t.pos] == 'e' || t.buf[t.pos] == 'E') {
		return 0, badRequest(CodeInvalidField, "want a whole number without fraction or exponent")
	}
	if c == '0' && t.pos > start+1 {
		return 0, t.syntax("a number may not begin with 0")
	}
	if n > limit {
		return 0, badRequest(CodeInvalidField, "want a whole number from 0 to %d", limit)
	}
	return n, nil
}

// want is the error for a value of another kind, if it is a value at all.
func (t *text) want(kind string) error {
	c := t.peek()
	if strings.IndexByte(`"{[-0123456789`, c) >= 0 || t.word() != "" {
		return badRequest(CodeInvalidField, "want %s, have %s", kind, t.have())
	}
	return t.syntax("want %s, have %s", kind, t.have())
}

// word is the word of JSON that stands at the position, if one does.
func (t *text) word() string {
	for _, w := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(t.buf[t.pos:], []byte(w)) {
			return w
		}
	}
	return ""
}

// have says what stands at the position.
func (t *text) have() string {
	switch c := t.peek(); {
	case c == 0 && t.pos == len(t.buf):
		return "the end"
	case c == '"':
		return "a string"
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case t.word() != "":
		return t.word()
	case c == '-', c >= '0' && c <= '9':
		return "a number"
	case c > ' ' && c <= '~':
		return string(rune(c))
	}
	return "a stray byte"
}
