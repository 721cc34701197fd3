package telemetry

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
)

// However wrong a variable with headers is, and whatever the collector answers,
// no log shows what a header holds; the SDK's own log is among them.
func TestHeadersAreNotLogged(t *testing.T) {
	t.Cleanup(func() {
		otel.SetLogger(logr.Discard())
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "what is this: "+r.Header.Get("Authorization"), http.StatusUnauthorized)
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	for _, c := range []struct {
		list   string
		warned bool // of an entry that is not used
	}{
		{"zzSECRETzz", true},
		{"authorization: Bearer zzSECRETzz", true},
		{"authorization:Bearer zzSECRETzz=", true},
		{"authorization=Bearer zzSECRETzz%zz", true},
		{"a=b,authorization zzSECRETzz", true},
		{"authorization=Bearer%20zzSECRETzz", false},
		{"authorization=Bearer zzSECRETzz", false},
		{"authorization=Basic%20zzSECRETzz==", false},
		{"authorization=zzSECRETzz%0a", false},
		{"authorization=zz%53ECRETzz", false},
		{"qz", true}, // too short to be looked for in texts
		{"a=%qz", true},
	} {
		for _, name := range headerVariables {
			t.Run(name+"="+c.list, func(t *testing.T) {
				t.Setenv(name, c.list)
				for _, protocol := range []string{"http/protobuf", "grpc"} {
					t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
					t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
					sdk := &bytes.Buffer{}
					AdoptLog(slog.New(slog.NewTextHandler(sdk, &slog.HandlerOptions{Level: slog.Level(-100)})))
					log := export(t)
					if all := sdk.String() + log; strings.Contains(strings.ToUpper(all), "SECRET") ||
						strings.Contains(all, "qz") {
						t.Errorf("log:\n%s", all)
					}
					if c.warned != strings.Contains(log, "variable="+name) {
						t.Errorf("warned: %v\n%s", !c.warned, log)
					}
				}
			})
		}
	}
}
