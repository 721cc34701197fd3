package group

import "encoding/base64"

// SignForTest makes a token of any body.
func SignForTest(secret, body []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(append([]byte{}, body...), sign(secret, body)...))
}
