package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

const (
	maxTries  = 5
	firstWait = time.Second     // doubled after each try
	maxWait   = 5 * time.Minute // the hub counts requests over as long a time
)

// temporary is an error that may not be there at the next try.
type temporary struct {
	err   error
	after time.Duration // as long as the server asks to wait, 0 where it does not
}

func (t *temporary) Error() string { return t.err.Error() }
func (t *temporary) Unwrap() error { return t.err }

// retry calls try until its error is not temporary, at most maxTries times in a row in which it did not get further.
func (c *Client) retry(ctx context.Context, try func() (further bool, err error)) error {
	for tries := 1; ; tries++ {
		further, err := try()
		var t *temporary
		if !errors.As(err, &t) {
			return err
		}
		if further {
			tries = 1
		}
		if tries == maxTries {
			return fmt.Errorf("%w (after %d tries)", t.err, tries)
		}
		if t.after > maxWait {
			return fmt.Errorf("%w (the server asks to come back in %v)", t.err, t.after.Round(time.Second))
		}
		if err := c.sleep(ctx, max(t.after, firstWait<<(tries-1))); err != nil {
			return err
		}
	}
}

// resetIn is the seconds until a limit of requests is lifted, in the RateLimit header of draft-ietf-httpapi-ratelimit-headers.
var resetIn = regexp.MustCompile(`;\s*t=(\d{1,9})`)

// retryAfter is how long a server asks to wait: Retry-After, in seconds or as a date, or else RateLimit.
func retryAfter(h http.Header, now time.Time) time.Duration {
	seconds := h.Get("Retry-After")
	if at, err := http.ParseTime(seconds); err == nil {
		return max(0, at.Sub(now))
	}
	if m := resetIn.FindStringSubmatch(h.Get("RateLimit")); m != nil && seconds == "" {
		seconds = m[1]
	}
	n, err := strconv.ParseUint(seconds, 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
