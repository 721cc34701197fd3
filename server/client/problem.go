package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Problem is an error as the server describes it (RFC 9457 with Chronik's own
// members).
type Problem struct {
	Status    int    `json:"status"`
	Title     string `json:"title"`
	Detail    string `json:"detail"`
	Code      string `json:"code"`      // stable, for programs
	Retryable bool   `json:"retryable"` // the same request may succeed later
	Outcome   string `json:"outcome"`   // "not_applied" or "unknown"
	TraceID   string `json:"trace_id"`
	// CurrentOffset is what the request should have said, where an offset was
	// the matter.
	CurrentOffset *int64 `json:"current_offset"`
	// RetryAfter is how long the server asks to wait; 0: it did not say.
	RetryAfter time.Duration `json:"-"`
}

// Error is the server's sentence, then what to do about it.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if text == "" {
		text = "HTTP status " + strconv.Itoa(p.Status)
	}
	var notes []string
	if p.Code != "" {
		notes = append(notes, p.Code)
	}
	if p.Outcome == "unknown" {
		notes = append(notes, "may or may not have been applied")
	}
	if p.Retryable {
		again := "trying again may help"
		if p.RetryAfter > 0 {
			again = fmt.Sprintf("try again in %v", p.RetryAfter)
		}
		notes = append(notes, again)
	}
	if p.TraceID != "" {
		notes = append(notes, "trace "+p.TraceID)
	}
	if len(notes) == 0 {
		return text
	}
	return text + " (" + strings.Join(notes, "; ") + ")"
}

// readProblem turns an answer of 400 or more into a Problem, whatever its body
// is: something between us and the node may have written it.
func readProblem(resp *http.Response) *Problem {
	const most = 64 << 10
	text, _ := io.ReadAll(io.LimitReader(resp.Body, most)) // a short problem still says something
	p := new(Problem)
	if json.Unmarshal(text, p) != nil || (p.Detail == "" && p.Title == "") {
		p = &Problem{Title: firstLine(string(text))}
	}
	p.Status = resp.StatusCode
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	if p.Title == "" {
		p.Title = resp.Status
	}
	return p
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	const most = 200
	if len(line) > most {
		line = line[:most] + "…"
	}
	return line
}

// IsStatus says whether err is a Problem with this HTTP status.
func IsStatus(err error, status int) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status == status
}
