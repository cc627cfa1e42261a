package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// secretSize is the size of the secret that tokens are signed with, in bytes.
const secretSize = 32

// tokenSecret returns the secret in the folder of the server's state, so that tokens outlive the server. It is made
// where there is none.
func tokenSecret(dir string) ([]byte, error) {
	name := filepath.Join(dir, "token.secret")
	secret, err := os.ReadFile(name)
	switch {
	case err == nil && len(secret) == secretSize:
		return secret, nil
	case err == nil:
		return nil, fmt.Errorf("%s: it is no secret of %d bytes; without it a new one is made", name, secretSize)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", name, reason(err))
	}
	secret = make([]byte, secretSize)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, ".token.secret-*") // of mode 0600
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, reason(err))
	}
	defer os.Remove(f.Name())
	_, err = f.Write(secret)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Link(f.Name(), name) // another server may have been faster
	}
	if errors.Is(err, fs.ErrExist) {
		return tokenSecret(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return secret, nil
}
