package httpapi

import (
	"net/http"
	"strings"
)

// idempotencyKey is the header by which a client names a submission (draft-ietf-httpapi-idempotency-key-header).
const idempotencyKey = "Idempotency-Key"

// keyOf returns the key of a submission, "" where the request has none: a string as structured fields have it (RFC 9651, section 3.3.3), in
// quotes, or, as many clients send it, without.
func keyOf(r *http.Request) (string, error) {
	values := r.Header.Values(idempotencyKey)
	if len(values) == 0 {
		return "", nil
	}
	const most = 255
	key := strings.TrimSpace(values[0])
	ok := len(values) == 1
	if quoted, is := strings.CutPrefix(key, `"`); is {
		key, ok = unquoted(quoted)
		ok = ok && len(values) == 1
	}
	if plain := strings.Trim(key, printable) == ""; !ok || !plain || key == "" || len(key) > most {
		return "", invalid(idempotencyKey, "%s: want one key of 1 to %d printable ASCII characters", idempotencyKey, most)
	}
	return key, nil
}

// printable are the characters of a string of structured fields.
var printable = func() string {
	var b strings.Builder
	for c := byte(' '); c < 0x7f; c++ {
		b.WriteByte(c)
	}
	return b.String()
}()

// unquoted returns what stands before the quote that ends a string. Nothing may be behind it.
func unquoted(s string) (text string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), i == len(s)-1
		case c == '\\':
			if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", false
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
