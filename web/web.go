// Package web is the console: the pages that a node serves at "/".
//
// # Shape
//
// static/ holds plain ES modules, which run as they are: there is no build
// step. The libraries (preact, htm, uPlot) are unchanged files of static/lib,
// each with its licence. index.html is served at "/", every other file at
// "/assets/…", and nothing else: Has tells which paths those are, so that the
// API's router goes on answering unknown ones with a problem.
//
// # Rules of the pages
//
// They use the public HTTP API only, and write each of its paths as
// openapi.yaml does ("/v1/topics/{topic}"), which a test compares. What a view
// shows is in the URL, behind the "#". Styles and scripts are files: the
// policy that is sent (see policy) allows no inline ones, but for the import
// map, by its hash. A record is never put into a page as markup.
//
// # Caching
//
// Every file has an ETag and is asked for anew each time, which is one 304: a
// node that was upgraded never meets modules of its former version.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed static
var static embed.FS

// assets is where the files other than the page itself are served.
const assets = "/assets/"

// Console serves the embedded files. It is safe for concurrent use.
type Console struct {
	files  map[string]*file // by URL path
	policy string
}

// file is one embedded file. gzipped is made on first demand.
type file struct {
	mediaType, tag string
	plain          []byte
	gzipped        func() []byte // nil where compression does not help
}

// errFiles means that the binary was built from a tree that is not whole.
var errFiles = errors.New("web: embedded files")

// New makes the console of the embedded files. They are part of the program, so
// what is wrong with them panics.
func New() *Console {
	c := &Console{files: make(map[string]*file)}
	err := fs.WalkDir(static, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return c.add(name)
	})
	if err != nil {
		panic(fmt.Errorf("%w: %w", errFiles, err))
	}
	return c
}

// add reads one embedded file.
func (c *Console) add(name string) error {
	content, err := static.ReadFile(name)
	if err != nil {
		return err
	}
	kind, ok := mediaTypes[path.Ext(name)]
	if !ok {
		return fmt.Errorf("%s: no media type for its name", name)
	}
	sum := sha256.Sum256(content)
	f := &file{mediaType: kind, tag: hex.EncodeToString(sum[:8]), plain: content}
	if len(content) >= leastGzipped {
		f.gzipped = sync.OnceValue(func() []byte { return compressed(content) })
	}
	if name != "static/index.html" {
		c.files[assets+strings.TrimPrefix(name, "static/")] = f
		return nil
	}
	c.files["/"] = f
	c.policy, err = policy(content)
	return err
}

// leastGzipped is the size in bytes below which a file is sent as it is.
const leastGzipped = 1024

// mediaTypes are those of the files in static, by the end of the name. The
// machine's own table is not asked: it differs from one machine to the next.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".mjs":  "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".md":   "text/plain; charset=utf-8",
	".txt":  "text/plain; charset=utf-8",
}

// policy is the Content-Security-Policy: files of this origin, requests to this
// origin, and nothing else. Browsers take an import map only from within the
// page, so it is allowed by its hash.
func policy(page []byte) (string, error) {
	const begin, end = `<script type="importmap">`, `</script>`
	_, rest, found := bytes.Cut(page, []byte(begin))
	importMap, _, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		return "", errors.New("index.html has no import map")
	}
	sum := sha256.Sum256(importMap)
	return "default-src 'none'; script-src 'self' 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; " +
		"style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", nil
}

func compressed(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(content)
	if err := errors.Join(err, w.Close()); err != nil {
		panic(fmt.Errorf("%w: %w", errFiles, err)) // memory takes every write
	}
	return b.Bytes()
}

// Has tells whether the console serves the URL path.
func (c *Console) Has(path string) bool { return c.files[path] != nil }

// ServeHTTP answers GET and HEAD of a path for which Has is true; anything else
// is 404, without a body.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := c.files[r.URL.Path]
	if f == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.mediaType)
	h.Set("Content-Security-Policy", c.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	content, tag := f.plain, f.tag
	if f.gzipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			// Another representation, so another validator.
			content, tag = f.gzipped(), f.tag+"-gzip"
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// acceptsGzip reads an Accept-Encoding: gzip is named, and not with weight 0.
func acceptsGzip(accept string) bool {
	for item := range strings.SplitSeq(accept, ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(item, " ", ""), ";")
		if strings.EqualFold(name, "gzip") {
			return strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != "" || weight == ""
		}
	}
	return false
}
