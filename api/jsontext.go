package api

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
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
	switch c := t.peek(); c {
	case '"', '{', '[', 't', 'f', 'n', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return badRequest(CodeInvalidField, "want %s, have %s", kind, t.have())
	}
	return t.syntax("want %s, have %s", kind, t.have())
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
	case c == 't', c == 'f':
		return "true or false"
	case c == 'n':
		return "null"
	case c == '-', c >= '0' && c <= '9':
		return "a number"
	case c > ' ' && c <= '~':
		return string(rune(c))
	}
	return "a stray byte"
}

// str reads the string at the position. The result aliases the text, or the
// arena when something had to be decoded; it is never nil.
func (t *text) str() ([]byte, error) {
	b, start, ascii := t.buf, t.pos+1, true
	for i := start; ; {
		for i+8 <= len(b) {
			m := special(binary.LittleEndian.Uint64(b[i:]))
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			t.pos = len(b)
			return nil, t.syntax("a string has no end")
		}
		switch c := b[i]; {
		case c == '"':
			t.pos = i + 1
			if !ascii && !utf8.Valid(b[start:i]) {
				return nil, t.notUTF8()
			}
			return b[start:i:i], nil
		case c == '\\':
			return t.escaped(start, i)
		case c < ' ':
			t.pos = i
			return nil, t.syntax("a control character in a string must be escaped")
		default:
			ascii = ascii && c < utf8.RuneSelf
			i++
		}
	}
}

func (t *text) notUTF8() error {
	return t.syntax(`is not UTF-8: send such bytes as base64 and say so with "encoding":"base64"`)
}

// escaped reads on at the first backslash, i, of the string that begins at
// start.
func (t *text) escaped(start, i int) ([]byte, error) {
	b, begin := t.buf, len(t.arena)
	for {
		t.arena = append(t.arena, b[start:i]...)
		switch {
		case i >= len(b):
			t.pos = len(b)
			return nil, t.syntax("a string has no end")
		case b[i] == '"':
			t.pos = i + 1
			if !utf8.Valid(t.arena[begin:]) {
				return nil, t.notUTF8()
			}
			return slices.Clip(t.arena[begin:]), nil
		case b[i] < ' ':
			t.pos = i
			return nil, t.syntax("a control character in a string must be escaped")
		}
		var err error
		if start, err = t.escape(i); err != nil {
			return nil, err
		}
		for i = start; i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' '; {
			i++
		}
	}
}

// escape decodes the escape sequence at i into the arena and returns where it
// ends.
func (t *text) escape(i int) (int, error) {
	b := t.buf
	t.pos = i
	if i+1 >= len(b) {
		return 0, t.syntax("a string has no end")
	}
	switch c := b[i+1]; c {
	case '"', '\\', '/':
		t.arena = append(t.arena, c)
	case 'b':
		t.arena = append(t.arena, '\b')
	case 'f':
		t.arena = append(t.arena, '\f')
	case 'n':
		t.arena = append(t.arena, '\n')
	case 'r':
		t.arena = append(t.arena, '\r')
	case 't':
		t.arena = append(t.arena, '\t')
	case 'u':
		return t.unicode(i)
	default:
		return 0, t.syntax("a string has an unknown escape sequence")
	}
	return i + 2, nil
}

// unicode decodes \uXXXX, or a pair of surrogates; half of a pair has no
// UTF-8, and a replacement character would not be what the client sent.
func (t *text) unicode(i int) (int, error) {
	r, ok := hex4(t.buf, i+2)
	if !ok {
		return 0, t.syntax(`\u needs four hexadecimal digits`)
	}
	i += 6
	if utf16.IsSurrogate(r) {
		low, ok := rune(0), false
		if i+1 < len(t.buf) && t.buf[i] == '\\' && t.buf[i+1] == 'u' {
			low, ok = hex4(t.buf, i+2)
		}
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return 0, t.syntax("a lone surrogate is no character: send such bytes as base64")
		}
		i += 6
	}
	t.arena = utf8.AppendRune(t.arena, r)
	return i, nil
}

func hex4(b []byte, i int) (r rune, ok bool) {
	if i+4 > len(b) {
		return 0, false
	}
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
