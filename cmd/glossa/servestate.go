package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"glossa/asr/jobs"
)

// secretSize is the size of a secret, in bytes.
const secretSize = 32

// tokenSecret returns the secret in the folder of the server's state that tokens are signed with, so that they outlive the server. It is
// made where there is none.
func tokenSecret(dir string) ([]byte, error) {
	return keptSecret(dir, "token.secret", func() ([]byte, error) {
		secret := make([]byte, secretSize)
		_, err := rand.Read(secret)
		return secret, err
	}, func(secret []byte) error {
		if len(secret) != secretSize {
			return fmt.Errorf("it is no secret of %d bytes", secretSize)
		}
		return nil
	})
}

// webhookSecretFile is the name of the file of the secret that callbacks are signed with.
const webhookSecretFile = "webhook.secret"

// webhookSecret returns the secret in the folder of the server's state that callbacks are signed with, in the form that receivers take. It
// is made where there is none.
func webhookSecret(dir string) (string, error) {
	const prefix = "whsec_" // Standard Webhooks 1.0
	secret, err := keptSecret(dir, webhookSecretFile, func() ([]byte, error) {
		secret := make([]byte, secretSize)
		_, err := rand.Read(secret)
		return []byte(prefix + base64.StdEncoding.EncodeToString(secret) + "\n"), err
	}, func(secret []byte) error {
		return jobs.CheckHookSecret(string(secret))
	})
	return strings.TrimSpace(string(secret)), err
}

// keptSecret returns the secret in a file of the folder of the server's state, which it checks. It is made where there is none.
func keptSecret(dir, file string, fresh func() ([]byte, error), check func([]byte) error) ([]byte, error) {
	name := filepath.Join(dir, file)
	secret, err := os.ReadFile(name)
	if err == nil {
		if err := check(secret); err != nil {
			return nil, fmt.Errorf("%s: %w; without it a new one is made", name, err)
		}
		return secret, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, reason(err))
	}
	if secret, err = fresh(); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "."+file+"-*") // of mode 0600
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, reason(err))
	}
	defer os.Remove(f.Name())
	_, err = f.Write(secret)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Link(f.Name(), name) // another server may have been faster
	}
	if errors.Is(err, fs.ErrExist) {
		return keptSecret(dir, file, fresh, check)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return secret, nil
}
