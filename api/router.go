package api

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/chroniklog/chronik/api/gen"
	"github.com/chroniklog/chronik/api/middleware"
	"github.com/chroniklog/chronik/server/telemetry"
)

// router is a chi router whose routes pass the inner half of the middleware
// chain. Registering through it, as the generated code does too, is what gives
// a route its limits, its span name and its metrics.
type router struct {
	chi.Router
	server   *Server
	chain    *middleware.Chain
	shortcut *shortcut
}

func (rt router) handle(method, pattern string, h http.Handler) {
	route := rt.chain.Route(rt.server.spec(method, pattern), rt.server.control(method, pattern, h))
	rt.Router.Method(method, pattern, route)
	if method == http.MethodPost && pattern == producePattern {
		rt.shortcut.produce = route
	}
}

func (rt router) Method(method, pattern string, h http.Handler) { rt.handle(method, pattern, h) }

func (rt router) MethodFunc(method, pattern string, h http.HandlerFunc) {
	rt.handle(method, pattern, h)
}

func (rt router) Get(pattern string, h http.HandlerFunc) { rt.handle(http.MethodGet, pattern, h) }

func (rt router) Head(pattern string, h http.HandlerFunc) { rt.handle(http.MethodHead, pattern, h) }

func (rt router) Post(pattern string, h http.HandlerFunc) { rt.handle(http.MethodPost, pattern, h) }

func (rt router) Put(pattern string, h http.HandlerFunc) { rt.handle(http.MethodPut, pattern, h) }

func (rt router) Patch(pattern string, h http.HandlerFunc) { rt.handle(http.MethodPatch, pattern, h) }

func (rt router) Delete(pattern string, h http.HandlerFunc) { rt.handle(http.MethodDelete, pattern, h) }

// Group hands the same kind of router to fn, so that no route escapes.
func (rt router) Group(fn func(chi.Router)) chi.Router {
	fn(rt)
	return rt
}

// producePattern is the route that shortcut knows.
const producePattern = "/v1/topics/{topic}/records"

// shortcut stands before the router: it routes single-record produce, which
// outnumbers everything else, without the router's copy of the request.
type shortcut struct {
	router  http.Handler
	produce http.Handler
}

// ServeHTTP implements http.Handler.
func (s *shortcut) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && r.URL.RawPath == "" {
		if _, ok := producePath(r.URL.Path); ok {
			s.produce.ServeHTTP(w, r)
			return
		}
	}
	s.router.ServeHTTP(w, r)
}

// producePath is the topic of a path that producePattern matches.
func producePath(path string) (topic string, ok bool) {
	const prefix, suffix = "/v1/topics/", "/records"
	if len(path) <= len(prefix)+len(suffix) || path[:len(prefix)] != prefix ||
		path[len(path)-len(suffix):] != suffix {
		return "", false
	}
	topic = path[len(prefix) : len(path)-len(suffix)]
	return topic, strings.IndexByte(topic, '/') < 0
}

// spec gives each route its limits.
func (s *Server) spec(method, pattern string) middleware.Spec {
	spec := middleware.Spec{Method: method, Pattern: pattern, Untraced: opsPath(pattern)}
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		spec.MaxBody = s.limits.MaxControlBytes
	default:
		return spec
	}
	switch {
	case strings.HasSuffix(pattern, "/records"), strings.HasSuffix(pattern, "/keys/{key}"):
		spec.MaxBody = s.limits.MaxRecordBytes
	case strings.HasSuffix(pattern, "/restore"):
		spec.MaxBody = maxRestoreBytes
	case strings.HasSuffix(pattern, "/batches"):
		spec.MaxBody, spec.StreamType = s.limits.MaxBatchBytes, typeNDJSON
	}
	return spec
}

// opsPath tells the paths of health, metrics and the description.
func opsPath(path string) bool {
	switch path {
	case "/livez", "/readyz", "/metrics", "/openapi.json":
		return true
	}
	return false
}

// routes registers everything that openapi.yaml describes.
func (s *Server) routes(r chi.Router, d Deps) {
	gen.HandlerWithOptions(
		gen.NewStrictHandlerWithOptions(s, nil, gen.StrictHTTPServerOptions{
			RequestErrorHandlerFunc: writeProblem, ResponseErrorHandlerFunc: writeProblem,
		}),
		gen.ChiServerOptions{BaseRouter: r, ErrorHandlerFunc: bindingProblem})
	s.dataRoutes(r)
	r.Get("/openapi.json", s.openapi)
	if !d.SplitOps {
		s.opsRoutes(r)
	}
}

// opsRoutes registers health and metrics.
func (s *Server) opsRoutes(r chi.Router) {
	r.Get("/livez", s.livez)
	r.Head("/livez", s.livez) // net/http leaves the body out
	r.Get("/readyz", s.readyz)
	r.Head("/readyz", s.readyz)
	r.Get("/metrics", s.metrics())
}

// router builds the whole handler.
func (s *Server) router(d Deps) (http.Handler, *chi.Mux) {
	chain, err := middleware.NewChain(middleware.Config{
		Logger: s.logger, Now: s.now, Registry: d.Registry, Buckets: telemetry.Buckets(), Tracer: s.tracer,
		Draining: s.broker.Draining(), AllowedHosts: d.AllowedHosts, AllowedOrigins: d.AllowedOrigins,
		MaxInFlightBytes: s.limits.MaxInFlightBytes, MaxRatio: s.limits.MaxRatio,
		BodyTimeout: s.limits.BodyTimeout, Fail: writeProblem,
	})
	if err != nil {
		// server/config has checked the origins: this is a mistake of the caller.
		panic("api: " + err.Error())
	}
	mux := chi.NewRouter()
	mux.NotFound(func(w http.ResponseWriter, r *http.Request) {
		if d.Console != nil && d.Console.Has(r.URL.Path) {
			servePage(d.Console, w, r)
			return
		}
		writeProblem(w, r, badRequest(CodeNotFound, "no operation has the path %s; /openapi.json lists them",
			clip(r.URL.Path)))
	})
	mux.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) { methodProblem(mux, w, r) })
	front := &shortcut{router: mux}
	s.routes(router{Router: mux, server: s, chain: chain, shortcut: front}, d)
	return chain.Wrap(front, opsPath), mux
}

// servePage answers for a path of the console.
func servePage(pages http.Handler, w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		pages.ServeHTTP(w, r)
		return
	}
	e := badRequest(CodeMethodNotAllowed, "the path supports GET, HEAD, not %s", clip(r.Method))
	e.Allow = "GET, HEAD"
	writeProblem(w, r, e)
}

// NewOps makes the handler of the operations address: health and metrics.
func NewOps(d Deps) http.Handler {
	s := newServer(d)
	mux := chi.NewRouter()
	mux.NotFound(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, badRequest(CodeNotFound, "this address serves /livez, /readyz and /metrics"))
	})
	mux.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) { methodProblem(mux, w, r) })
	s.opsRoutes(mux)
	return mux
}

// methodProblem answers 405 with the methods that the path does have.
func methodProblem(mux *chi.Mux, w http.ResponseWriter, r *http.Request) {
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	var allow []string
	for _, method := range [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		if mux.Match(chi.NewRouteContext(), method, path) {
			allow = append(allow, method)
		}
	}
	if len(allow) == 0 {
		writeProblem(w, r, badRequest(CodeNotFound, "no operation has the path %s", clip(r.URL.Path)))
		return
	}
	e := badRequest(CodeMethodNotAllowed, "the path supports %s, not %s", strings.Join(allow, ", "), clip(r.Method))
	e.Allow = strings.Join(allow, ", ")
	writeProblem(w, r, e)
}
