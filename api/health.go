package api

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/chroniklog/chronik/api/gen"
)

// livez says that the process serves requests; nothing else is looked at, or a
// node that waits for its peers, or whose disk is full or slow, would be killed
// for it.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	writeText(w, "ok\n")
}

// readyz says whether the node can serve. ?verbose lists the checks.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	checks, failed := s.checks(), 0
	var list strings.Builder
	for _, c := range checks {
		if c.Err == nil {
			list.WriteString("[+]" + c.Name + " ok\n")
			continue
		}
		failed++
		list.WriteString("[-]" + c.Name + ": " + c.Err.Error() + "\n")
	}
	switch {
	case failed > 0:
		writeProblem(w, r, badRequest(CodeNotReady, "%s", strings.TrimSuffix(list.String(), "\n")))
	case r.URL.Query().Has("verbose"):
		writeText(w, list.String()+"ok\n")
	default:
		writeText(w, "ok\n")
	}
}

// checks are the node's own and that it is not draining.
func (s *Server) checks() []Check {
	var list []Check
	if s.ready != nil {
		list = s.ready()
	}
	draining := Check{Name: "serving"}
	select {
	case <-s.broker.Draining():
		draining.Err = errDraining
	default:
	}
	return append(list, draining)
}

func writeText(w http.ResponseWriter, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(text)) // a prober that left does not care
}

// maxScrapes bounds the scrapes that are served at once; more are told 503.
const maxScrapes = 4

// metrics serves the registry in the format that the scraper asks for.
func (s *Server) metrics() http.HandlerFunc {
	return promhttp.HandlerFor(s.gather, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, EnableOpenMetrics: true, DisableCompression: true, // the middleware compresses
		ErrorLog: slog.NewLogLogger(s.logger.With("handler", "metrics").Handler(), slog.LevelWarn),
	}).ServeHTTP
}

// openapi serves the description.
func (s *Server) openapi(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("ETag", s.specTag)
	h.Set("Cache-Control", "no-cache")
	if strings.Contains(r.Header.Get("If-None-Match"), s.specTag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", typeJSON)
	_, _ = w.Write(gen.Spec) // a client that left does not care
}

// specTag is the ETag of the description.
func specTag() string {
	sum := sha256.Sum256(gen.Spec)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}
