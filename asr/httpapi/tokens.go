package httpapi

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"glossa/asr"
)

// A token is tokenPrefix, by which OpenAI's clients know what may be in a browser, and in base64 what it says and its signature,
// a dot between them:
//
//	version (1 byte) | expiry, seconds since 1970 (8) | random (8) | name of the client
//
// The signature is HMAC-SHA256 of that and of the client's key, which therefore no longer holds a token once it is changed.
const (
	tokenPrefix  = "ek_"
	tokenVersion = 1
	tokenHead    = 1 + 8 + 8
	maxToken     = 512
)

// issue returns a token of a client and when it expires.
func (a *authenticator) issue(client string, ttl time.Duration) (token string, expires time.Time) {
	expires = a.now().Add(ttl).Truncate(time.Second)
	said := append([]byte{tokenVersion}, binary.BigEndian.AppendUint64(nil, uint64(expires.Unix()))...)
	said = append(said, make([]byte, 8)...)
	rand.Read(said[9:tokenHead])
	said = append(said, client...)
	enc := base64.RawURLEncoding
	return tokenPrefix + enc.EncodeToString(said) + "." + enc.EncodeToString(a.sign(said, client)), expires
}

// verify returns the client of a token that holds.
func (a *authenticator) verify(token string) (client string, ok bool) {
	said, signature, ok := parseToken(token)
	if !ok {
		return "", false
	}
	client = string(said[tokenHead:])
	expires := int64(binary.BigEndian.Uint64(said[1:9]))
	valid := hmac.Equal(signature, a.sign(said, client)) && slices.Contains(a.names, client)
	return client, valid && a.now().Unix() < expires
}

// parseToken returns the parts of a token.
func parseToken(token string) (said, signature []byte, ok bool) {
	body, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(token) > maxToken || strings.ContainsAny(token, "\r\n") { // which base64 passes over
		return nil, nil, false
	}
	first, second, ok := strings.Cut(body, ".")
	if !ok {
		return nil, nil, false
	}
	enc := base64.RawURLEncoding.Strict()
	said, err := enc.DecodeString(first)
	if err != nil || len(said) < tokenHead || said[0] != tokenVersion {
		return nil, nil, false
	}
	signature, err = enc.DecodeString(second)
	return said, signature, err == nil
}

// sign returns the signature of a token of a client.
func (a *authenticator) sign(said []byte, client string) []byte {
	m := hmac.New(sha256.New, a.secret)
	io.WriteString(m, "glossa token\x00")
	if i := slices.Index(a.names, client); i >= 0 {
		m.Write(a.hashes[i][:])
	}
	m.Write(said)
	return m.Sum(nil)
}

// tokenTTL returns how long a token shall hold of which a client wants so many seconds, nil for as long as usual.
func (a *authenticator) tokenTTL(param string, seconds *float64) (time.Duration, error) {
	if seconds == nil {
		return min(a.ttl, a.maxTTL), nil
	}
	if s := *seconds; !(s >= 1) || s > a.maxTTL.Seconds() {
		return 0, invalid(param, "a token may hold from 1 to %v seconds", math.Floor(a.maxTTL.Seconds()))
	}
	return time.Duration(*seconds * float64(time.Second)), nil
}

// issueToken answers POST /v1/tokens.
func (s *Server) issueToken(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		ExpiresIn *float64 `json:"expires_in"`
	}
	if err := s.readJSON(w, r, &q); err != nil {
		return err
	}
	ttl, err := s.auth.tokenTTL("expires_in", q.ExpiresIn)
	if err != nil {
		return err
	}
	client := asr.ClientOf(r.Context())
	token, expires := s.auth.issue(client, ttl)
	return writeJSON(w, http.StatusOK, map[string]any{"token": token, "expires_at": expires.Unix(), "client": client})
}

// issueSecret answers POST /v1/realtime/client_secrets, OpenAI's way to a token. It carries no configuration of a session.
func (s *Server) issueSecret(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		ExpiresAfter *struct {
			Anchor  string   `json:"anchor"`
			Seconds *float64 `json:"seconds"`
		} `json:"expires_after"`
		Session map[string]json.RawMessage `json:"session"`
	}
	if err := s.readJSON(w, r, &q); err != nil {
		return err
	}
	var seconds *float64
	if e := q.ExpiresAfter; e != nil {
		if seconds = e.Seconds; cmp.Or(e.Anchor, "created_at") != "created_at" {
			return invalid("expires_after.anchor", "the anchor can only be created_at")
		}
	}
	for field, value := range q.Session {
		switch {
		case field != "type":
			return invalid("session."+field, "a client secret carries no configuration: the client sends it in session.update")
		case string(value) != `"transcription"`:
			return invalid("session.type", "this server has sessions of the type transcription alone")
		}
	}
	ttl, err := s.auth.tokenTTL("expires_after.seconds", seconds)
	if err != nil {
		return err
	}
	token, expires := s.auth.issue(asr.ClientOf(r.Context()), ttl)
	id := "sess_" + rand.Text()
	return writeJSON(w, http.StatusOK, map[string]any{
		"value": token, "expires_at": expires.Unix(),
		"session": map[string]any{"id": id, "object": "realtime.transcription_session", "type": "transcription", "expires_at": expires.Unix()},
	})
}

// grantToken answers POST /v1/auth/grant, Deepgram's way to a token.
func (s *Server) grantToken(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		TTL *float64 `json:"ttl_seconds"`
	}
	if err := s.readJSON(w, r, &q); err != nil {
		return err
	}
	ttl, err := s.auth.tokenTTL("ttl_seconds", q.TTL)
	if err != nil {
		return err
	}
	token, _ := s.auth.issue(asr.ClientOf(r.Context()), ttl)
	return writeJSON(w, http.StatusOK, map[string]any{"access_token": token, "expires_in": ttl.Seconds()})
}

// maxJSON is the greatest size of a body that is JSON.
const maxJSON = 64 << 10

// readJSON reads the body of a request, an object whose members v has. No body is an empty object.
func (s *Server) readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxJSON))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("there is more behind the object")
		}
	}
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	if e := bodyError(err); e != nil {
		return e
	}
	return &apiError{status: http.StatusBadRequest, code: "invalid_json", message: "the body is not the JSON object that is wanted: " + strings.TrimPrefix(err.Error(), "json: ")}
}
