package api

import (
	"slices"

	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/storage/record"
)

// headerList reads an array of headers.
func (s *recordScanner) headerList() ([]record.HeaderKV, error) {
	start := len(s.headers)
	err := s.array(func(i int) error {
		if i >= s.limits.MaxHeaders {
			return tooLarge("", "%d record headers or more, at most %d are allowed", i+1, s.limits.MaxHeaders)
		}
		var h record.HeaderKV
		if err := s.header(&h); err != nil {
			return prefixed(err, "["+itoa(int64(i))+"]")
		}
		s.headers = append(s.headers, h)
		return nil
	})
	if err != nil || len(s.headers) == start {
		return nil, err
	}
	return slices.Clip(s.headers[start:]), nil
}

func (s *recordScanner) header(h *record.HeaderKV) error {
	var binary bool
	seen := 0
	err := s.object(func(name []byte) (err error) {
		bit := 0
		switch string(name) {
		case "name":
			bit = seenName
			var b []byte
			if b, err = s.stringOrNull(); err == nil && b == nil {
				err = badRequest(CodeInvalidField, "want a string, have null")
			}
			h.Key = s.name(b)
		case "value":
			bit = seenValue
			h.Value, err = s.stringOrNull()
		case "encoding":
			bit = seenEncoding
			binary, err = s.encoding()
		default:
			return unknownMember(name, headerMembers)
		}
		return s.member(&seen, bit, err)
	})
	switch {
	case err != nil:
		return err
	case seen&seenName == 0:
		return badField("name", "is missing")
	case seen&seenValue == 0:
		return badField("value", "is missing")
	}
	if binary && h.Value != nil {
		if h.Value, err = s.base64(h.Value); err != nil {
			return prefixed(err, "value")
		}
	}
	return nil
}

// name is a header's name as a string that is shared by all that are equal.
func (s *recordScanner) name(b []byte) string {
	if known, ok := s.names[string(b)]; ok {
		return known
	}
	if len(s.names) >= maxNames {
		clear(s.names)
	}
	name := string(b)
	s.names[name] = name
	return name
}

// member notes that a member was read, with err.
func (s *recordScanner) member(seen *int, bit int, err error) error {
	name := memberName(bit)
	if err != nil {
		return prefixed(err, name)
	}
	if *seen&bit != 0 {
		return badField(name, "the member is there twice")
	}
	*seen |= bit
	return nil
}

func memberName(bit int) string {
	for i, name := range recordMembers {
		if bit == 1<<i {
			return name
		}
	}
	return "name"
}

// encoding reads the name of an encoding; true is base64.
func (s *recordScanner) encoding() (bool, error) {
	b, err := s.stringOrNull()
	switch {
	case err != nil:
		return false, err
	case string(b) == "utf8":
		return false, nil
	case string(b) == "base64":
		return true, nil
	}
	return false, badRequest(CodeInvalidField, `want "utf8" or "base64", have %q`, clip(string(b)))
}

// base64 decodes into the arena.
func (s *recordScanner) base64(b []byte) ([]byte, error) {
	start := len(s.arena)
	out, err := decodeBase64(s.arena, b)
	if err != nil {
		return nil, &Error{Code: CodeInvalidEncoding, Detail: "is not base64 (RFC 4648, section 4, with padding)"}
	}
	s.arena = out
	return slices.Clip(out[start:]), nil
}

func unknownMember(name []byte, known []string) error {
	shown := clip(string(name))
	detail := shown + ": a record has no member of that name"
	if len(name) <= 64 {
		detail += "; did you mean " + config.Nearest(string(name), known) + "?"
	}
	return &Error{Code: CodeUnknownField, Detail: detail, Members: Members{Field: shown}}
}

// prefixed puts a member's name, or an index, before the place that an error
// names.
func prefixed(err error, name string) error {
	e, ok := err.(*Error) //nolint:errorlint // the scanner's own, never wrapped
	if !ok || name == "" {
		return err
	}
	own := e.Members.Field
	joined := name
	switch {
	case own != "" && own[0] == '[':
		joined = name + own
	case own != "":
		joined = name + "." + own
	}
	detail := e.Detail
	if own != "" && len(detail) > len(own) && detail[:len(own)] == own {
		detail = detail[len(own):]
	} else {
		detail = ": " + detail
	}
	out := *e
	out.Detail, out.Members.Field = joined+detail, joined
	return &out
}
