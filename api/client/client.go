// Package client is a client of the whole HTTP API, generated from
// openapi.yaml. Tests use it to show that the description yields one; the
// command line has its own client (server/client), which reads records faster.
package client

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config config.yaml ../../openapi.yaml
