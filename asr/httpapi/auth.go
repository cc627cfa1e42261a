package httpapi

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Auth says who may use a server.
type Auth struct {
	// Keys are the keys of clients by the clients' names. The default value is nil: everybody may use the server, whatever key is
	// sent.
	Keys map[string]string

	// TokenSecret signs tokens. Servers that share it, and keys, take each other's. The default value is nil: a random one, so that
	// tokens end with the server.
	TokenSecret []byte

	// TokenTTL is how long a token holds where nothing else is asked for, MaxTokenTTL the most that may be asked for. The default
	// values are 1 minute and 2 hours (OpenAI's).
	TokenTTL, MaxTokenTTL time.Duration
}

// Keys below minKeyBytes could be guessed.
const (
	minKeyBytes    = 8
	minSecretBytes = 16
	maxNameBytes   = 128
)

// authenticator tells who a request is from.
type authenticator struct {
	names  []string
	hashes [][sha256.Size]byte // of the keys of names: equal lengths, to be compared in constant time
	secret []byte
	ttl    time.Duration
	maxTTL time.Duration
	now    func() time.Time
}

// newAuthenticator checks the keys.
func newAuthenticator(o Auth) (*authenticator, error) {
	a := &authenticator{secret: o.TokenSecret, ttl: o.TokenTTL, maxTTL: o.MaxTokenTTL, now: time.Now}
	if a.ttl <= 0 {
		a.ttl = time.Minute
	}
	if a.maxTTL <= 0 {
		a.maxTTL = 2 * time.Hour
	}
	if a.secret == nil {
		a.secret = make([]byte, sha256.Size)
		rand.Read(a.secret)
	} else if len(a.secret) < minSecretBytes {
		return nil, fmt.Errorf("httpapi: a secret of %d bytes signs no tokens, it takes %d", len(a.secret), minSecretBytes)
	}
	seen := make(map[[sha256.Size]byte]string)
	for name, key := range o.Keys {
		switch hash := sha256.Sum256([]byte(key)); {
		case name == "" || len(name) > maxNameBytes:
			return nil, errors.New("httpapi: a client with a key has no name, or one that is too long")
		case name == "*":
			return nil, errors.New("httpapi: no client can be called *, which stands for all")
		case len(key) < minKeyBytes:
			return nil, fmt.Errorf("httpapi: the key of client %s has %d bytes, it takes %d", name, len(key), minKeyBytes)
		case strings.TrimSpace(key) != key:
			return nil, fmt.Errorf("httpapi: the key of client %s begins or ends with a space", name)
		case seen[hash] != "":
			return nil, fmt.Errorf("httpapi: clients %s and %s have one key", seen[hash], name)
		default:
			seen[hash] = name
			a.names, a.hashes = append(a.names, name), append(a.hashes, hash)
		}
	}
	return a, nil
}

// open reports whether everybody may use the server.
func (a *authenticator) open() bool { return len(a.names) == 0 }

// identity is who a request is from.
type identity struct {
	client string
	token  bool // that is all there is
}

// errNoKey and errWrongKey are the answers to those who are not let in. Which part of a credential is wrong, they do not tell.
var (
	errNoKey = &apiError{status: http.StatusUnauthorized, code: "missing_api_key",
		message: "this takes a key: Authorization: Bearer KEY, or X-API-Key: KEY"}
	errWrongKey = &apiError{status: http.StatusUnauthorized, code: "invalid_api_key", message: "the key or token is wrong, or has expired"}
)

// identify returns who a request is from.
func (a *authenticator) identify(r *http.Request) (identity, error) {
	if a.open() {
		return identity{}, nil
	}
	credential := credentialOf(r)
	if credential == "" {
		return identity{}, errNoKey
	}
	if name, ok := a.clientOf(credential); ok {
		return identity{client: name}, nil
	}
	if name, ok := a.verify(credential); ok {
		return identity{client: name, token: true}, nil
	}
	return identity{}, errWrongKey
}

// clientOf returns the client of a key. It compares with all keys, in a time that does not hang on them.
func (a *authenticator) clientOf(key string) (name string, ok bool) {
	hash := sha256.Sum256([]byte(key))
	found := -1
	for i := range a.hashes {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], a.hashes[i][:]), i, found)
	}
	if found < 0 {
		return "", false
	}
	return a.names[found], true
}

// insecureKey begins the subprotocol by which OpenAI's clients in browsers send a key.
const insecureKey = "openai-insecure-api-key."

// credentialOf returns the key or token that a request carries, "" where it carries none: by Authorization, as "Bearer KEY", or
// "Token KEY" as Deepgram's clients have it; by X-API-Key; and, since browsers can set no headers for websockets and
// event sources, of a GET by ?token= or a subprotocol, "token, KEY" or "bearer, KEY" as Deepgram's, or OpenAI's. The first that is
// there is taken, so that a wrong one is not made good by another.
func credentialOf(r *http.Request) string {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, key, _ := strings.Cut(h, " ")
		if strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "Token") {
			return strings.TrimSpace(key)
		}
		return h // of another scheme: no key
	}
	if key := r.Header.Get("X-API-Key"); key != "" {
		return key
	}
	if r.Method != http.MethodGet {
		return ""
	}
	if r.URL.RawQuery != "" && r.URL.Query().Has("token") {
		return r.URL.Query().Get("token")
	}
	return protocolCredential(r.Header.Values("Sec-WebSocket-Protocol"))
}

// withoutToken returns a request without the ?token= that it may carry, which no handler has use for, and no log.
func withoutToken(r *http.Request) *http.Request {
	if !strings.Contains(r.URL.RawQuery, "token=") {
		return r
	}
	r = r.Clone(r.Context())
	r.URL.RawQuery = strings.Join(slices.DeleteFunc(strings.Split(r.URL.RawQuery, "&"), func(p string) bool { return strings.HasPrefix(p, "token=") }), "&")
	r.RequestURI = r.URL.RequestURI()
	return r
}

// protocolCredential returns the key among the subprotocols that a browser offers.
func protocolCredential(headers []string) string {
	protocols := strings.Split(strings.Join(headers, ","), ",")
	for i, p := range protocols {
		p = strings.TrimSpace(p)
		if key, ok := strings.CutPrefix(p, insecureKey); ok {
			return key
		}
		if (strings.EqualFold(p, "token") || strings.EqualFold(p, "bearer")) && i+1 < len(protocols) {
			return strings.TrimSpace(protocols[i+1])
		}
	}
	return ""
}
