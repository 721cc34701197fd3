package middleware

import (
	"net/netip"
	"strings"
)

// hosts decides which Host headers the node answers to. A page that rebinds
// its own domain name to this node's address sends that name, which is why
// names must be known while addresses are safe: a page served from an address
// has that address as its origin.
type hosts struct {
	any   bool
	names map[string]bool
}

func newHosts(allowed []string) hosts {
	h := hosts{names: make(map[string]bool, len(allowed))}
	for _, name := range allowed {
		if name == "*" {
			h.any = true
		}
		h.names[strings.ToLower(strings.TrimSuffix(hostname(name), "."))] = true
	}
	return h
}

// allows judges a Host header, with or without port.
func (h *hosts) allows(host string) bool {
	if h.any || host == "localhost" {
		return true
	}
	name := hostname(host)
	if name == "" {
		return host == "" // HTTP/1.0 without Host: no browser sends that
	}
	if name[0] == '[' {
		name = strings.TrimSuffix(name[1:], "]")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || h.names[name]
}

// hostname strips the port.
func hostname(host string) string {
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 || strings.IndexByte(host[colon:], ']') >= 0 || strings.Count(host, ":") > 1 && host[0] != '[' {
		return host // no port: a name, [v6] or a bare v6 address
	}
	return host[:colon]
}
