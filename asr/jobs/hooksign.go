package jobs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"glossa/asr"
)

// secretPrefix begins a secret of Standard Webhooks.
const secretPrefix = "whsec_"

// hookSecret is the key of signatures.
type hookSecret []byte

// parseSecrets reads secrets with spaces between them, one at least (Standard Webhooks 1.0, "Signature scheme": whsec_ and 24 to 64 bytes in
// base64).
func parseSecrets(text string) (secrets []hookSecret, err error) {
	for word := range strings.FieldsSeq(text) {
		encoded, ok := strings.CutPrefix(word, secretPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(key) < 24 || len(key) > 64 {
			return nil, fmt.Errorf("%w: a secret of callbacks: want %s and 24 to 64 bytes in base64", asr.ErrInvalid, secretPrefix)
		}
		secrets = append(secrets, key)
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("%w: callbacks have no secret to be signed with", asr.ErrInvalid)
	}
	return secrets, nil
}

// CheckHookSecret reports what is wrong with HookOptions.Secret.
func CheckHookSecret(text string) error {
	_, err := parseSecrets(text)
	return err
}

// sign signs a body with each secret, in the headers of Standard Webhooks 1.0: HMAC-SHA256 of ID.SECONDS.BODY.
func sign(h http.Header, secrets []hookSecret, id string, at time.Time, body []byte) {
	seconds := strconv.FormatInt(at.Unix(), 10)
	var signatures []string
	for _, s := range secrets {
		m := hmac.New(sha256.New, s)
		fmt.Fprintf(m, "%s.%s.", id, seconds)
		m.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
	}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", seconds)
	h.Set("webhook-signature", strings.Join(signatures, " "))
}
