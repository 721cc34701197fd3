package api

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

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
