package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"glossa/asr"
)

// Bounds of a file that is fetched.
const (
	fetchTime = 15 * time.Minute // for all of it
	stallTime = 30 * time.Second // without a byte
)

// Get gets a file of at most so many bytes. The error is asr.ErrInvalid where trying again is of no use: the address may not be called
// (ErrForbidden), the file is too large, or the server has no such file for us; asr.ErrCancelled where ctx has ended; asr.ErrBusy otherwise. It
// can be told to who named the address.
func (g Guard) Get(ctx context.Context, address string, limit int64) ([]byte, error) {
	if err := g.Check(address); err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	q, err := http.NewRequestWithContext(within, http.MethodGet, address, nil)
	if err != nil {
		return nil, forbidden("it is not a URL")
	}
	q.Header.Set("User-Agent", "glossa")
	client := g.Client()
	defer client.CloseIdleConnections()
	r, err := client.Do(q)
	if err != nil {
		return nil, failed(ctx, err)
	}
	defer r.Body.Close()
	if err := checkResponse(r, limit); err != nil {
		return nil, err
	}
	stall := time.AfterFunc(stallTime, cancel)
	defer stall.Stop()
	body, err := io.ReadAll(io.LimitReader(watched{r.Body, stall}, limit+1))
	if err != nil {
		return nil, failed(ctx, err)
	}
	if int64(len(body)) > limit {
		return nil, tooLarge(limit)
	}
	return body, nil
}

// watched tells a timer of each byte that comes.
type watched struct {
	io.Reader
	stall *time.Timer
}

// Read implements io.Reader.
func (w watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 {
		w.stall.Reset(stallTime)
	}
	return n, err
}

// checkResponse reports why the body of a response is not the file.
func checkResponse(r *http.Response, limit int64) error {
	again := r.StatusCode >= 500 || r.StatusCode == http.StatusRequestTimeout || r.StatusCode == http.StatusTooEarly || r.StatusCode == http.StatusTooManyRequests
	switch {
	case again:
		return fmt.Errorf("%w: the address answers with status %d", asr.ErrBusy, r.StatusCode)
	case r.StatusCode >= 300 && r.StatusCode < 400:
		return fmt.Errorf("%w: the address leads to another (status %d), which is not followed", asr.ErrInvalid, r.StatusCode)
	case r.StatusCode != http.StatusOK:
		return fmt.Errorf("%w: the address answers with status %d", asr.ErrInvalid, r.StatusCode)
	case r.ContentLength > limit:
		return tooLarge(limit)
	}
	return nil
}

func tooLarge(limit int64) error {
	return fmt.Errorf("%w: the file at the address has more than %d bytes, which is the most", asr.ErrInvalid, limit)
}

// failed returns the error of a call that was not answered.
func failed(ctx context.Context, err error) error {
	var f *forbiddenError
	switch {
	case errors.As(err, &f):
		return f
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", asr.ErrCancelled, ctx.Err())
	}
	return fmt.Errorf("%w: the address could not be called: %s", asr.ErrBusy, Reason(err))
}

// Reason says in words for outsiders why a call by a guard's client failed: without the addresses of our own network, such as that of the
// server of names, which the error itself may tell.
func Reason(err error) string {
	var f *forbiddenError
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var timeout net.Error
	switch {
	case errors.As(err, &f):
		return f.why
	case errors.As(err, &name) && name.IsNotFound:
		return "its name is not known"
	case errors.As(err, &name):
		return "its name could not be resolved"
	case errors.As(err, &certificate), errors.As(err, &unknown):
		return "its certificate is not valid"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.As(err, &timeout) && timeout.Timeout():
		return "it took too long"
	}
	return "the connection failed"
}
