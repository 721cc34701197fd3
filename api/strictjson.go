package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/chroniklog/chronik/server/config"
)

// maxJSONDepth bounds how deep the control plane's documents may nest; the
// deepest that it knows is 2.
const maxJSONDepth = 32

// strictJSON decodes one document into v and refuses what encoding/json lets
// pass: unknown members, repeated ones, text after the document, broken UTF-8.
// The problem names the member that is wrong.
func strictJSON(data []byte, v any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return badRequest(CodeInvalidJSON, "the body is empty; a JSON object is wanted")
	}
	if !utf8.Valid(data) {
		return badRequest(CodeInvalidJSON, "the body is not UTF-8")
	}
	if err := checkMembers(data); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return nearMember(jsonProblem(err), reflect.TypeOf(v))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badRequest(CodeInvalidJSON, "there is more after the JSON document")
	}
	return nil
}

// nearMember adds the nearest name that there is to the problem of an unknown
// member. The names of all levels are asked: there are few.
func nearMember(err error, t reflect.Type) error {
	var p *Error
	if !errors.As(err, &p) || p.Code != CodeUnknownField || len(p.Members.Field) > 64 { // the distance is quadratic
		return err
	}
	if near := config.Nearest(p.Members.Field, memberNames(nil, t)); near != "" {
		p.Detail += "; did you mean " + near + "?"
	}
	return p
}

// memberNames appends the names of the members that a document of type t has.
func memberNames(names []string, t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return memberNames(names, t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
				names = memberNames(append(names, name), f.Type)
			}
		}
	}
	return names
}

// jsonProblem explains an error of encoding/json.
func jsonProblem(err error) error {
	var (
		syntax *json.SyntaxError
		typ    *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &syntax):
		return badRequest(CodeInvalidJSON, "at byte %d: %s", syntax.Offset, syntax.Error())
	case errors.As(err, &typ):
		field := typ.Field
		if field == "" {
			return badRequest(CodeInvalidField, "the body must be %s, not %s", kindName(typ.Type), typ.Value)
		}
		have := clip(typ.Value)
		if typ.Type.Kind() == reflect.String && (typ.Value == "number" || typ.Value == "bool") {
			have += ": put it in quotes"
		}
		return badField(field, "want %s, have %s", kindName(typ.Type), have)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return badRequest(CodeInvalidJSON, "the JSON document ends early")
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name = strings.Trim(name, `"`)
		return &Error{
			Code: CodeUnknownField, Detail: clip(name) + ": this operation knows no member of that name",
			Members: Members{Field: clip(name)},
		}
	}
	return &Error{Code: CodeInvalidJSON, Detail: "the body can't be decoded", Cause: err}
}

// kindName says what JSON a Go type wants.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int32:
		return "a whole number from -2147483648 to 2147483647"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Pointer:
		return kindName(t.Elem())
	}
	return "an object"
}

// level is one open object or array of checkMembers.
type level struct {
	members map[string]bool // nil: an array
	name    bool            // a member's name comes next
}

// checkMembers walks the document for repeated members, of which
// encoding/json would silently take the last, and for depth.
func checkMembers(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	var open []level
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return jsonProblem(err)
		}
		if open, err = step(open, token); err != nil {
			return err
		}
	}
}

func step(open []level, token json.Token) ([]level, error) {
	top := len(open) - 1
	switch token {
	case json.Delim('{'), json.Delim('['):
		if len(open) == maxJSONDepth {
			return nil, badRequest(CodeInvalidJSON, "the document nests deeper than %d levels", maxJSONDepth)
		}
		next := level{}
		if token == json.Delim('{') {
			next = level{members: map[string]bool{}, name: true}
		}
		return append(open, next), nil
	case json.Delim('}'), json.Delim(']'):
		open = open[:top]
	default:
		if top >= 0 && open[top].name {
			name := fmt.Sprint(token)
			if open[top].members[name] {
				return nil, &Error{
					Code: CodeInvalidField, Detail: clip(name) + ": the member is there twice",
					Members: Members{Field: clip(name)},
				}
			}
			open[top].members[name], open[top].name = true, false
			return open, nil
		}
	}
	if top = len(open) - 1; top >= 0 && open[top].members != nil {
		open[top].name = true // a value has ended
	}
	return open, nil
}
