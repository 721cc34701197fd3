// Package gen is generated from openapi.yaml: the types, parameter binding and
// strict server of the control plane, and the description itself as JSON.
// `make gen` writes it anew; a test fails when it is stale.
package gen

import _ "embed"

//go:generate go run ./specjson ../../openapi.yaml openapi.json
//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config config.yaml ../../openapi.yaml

// Spec is openapi.yaml as JSON. Callers must not change it.
//
//go:embed openapi.json
var Spec []byte
