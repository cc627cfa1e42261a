package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
	"glossa/asr/jobs/outbound"
)

// Hook is the body of a callback.
type Hook struct {
	Type      string    `json:"type"`      // job.done, job.failed or job.cancelled
	Timestamp time.Time `json:"timestamp"` // when the job ended
	Job       asr.Job   `json:"job"`

	// ResultURL is where the result of a job that is done can be got, with the client's key. Text is its text, where the recording is not long.
	ResultURL string  `json:"result_url,omitempty"`
	Text      *string `json:"text,omitempty"`
}

// Bounds of the text of a callback: the result of a longer recording is not read for it.
const (
	maxHookAudio = 600 // seconds
	maxHookText  = 64 << 10
)

// Bounds of the delays between attempts.
const (
	firstDelay   = 5 * time.Second
	longestDelay = 6 * time.Hour
)

// hookVerdict is how an attempt ended.
type hookVerdict struct {
	outcome string
	delay   time.Duration // until the next attempt, where it failed
	reason  string        // for the log
}

// attempt makes a callback.
func (h *hooks) attempt(ctx context.Context, j asr.Job, m jetstream.Msg) hookVerdict {
	body, err := json.Marshal(h.hookOf(ctx, j))
	if err != nil {
		return hookVerdict{hookRefused, 0, err.Error()}
	}
	var age time.Duration
	var sequence uint64
	if meta, err := m.Metadata(); err == nil {
		age, sequence = max(0, time.Since(meta.Timestamp)), meta.Sequence.Stream
	}
	response, err := h.post(ctx, j, hookID(m.Headers(), j.ID, sequence), body)
	switch {
	case errors.Is(err, outbound.ErrForbidden):
		return hookVerdict{hookRefused, 0, outbound.Reason(err)}
	case err != nil:
		return h.again(age, 0, outbound.Reason(err))
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be used again
	switch status := response.StatusCode; {
	case status >= 200 && status < 300:
		return hookVerdict{outcome: hookDelivered}
	case status == http.StatusGone:
		return hookVerdict{hookGone, 0, "the receiver answers 410"}
	default:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return h.again(age, min(time.Duration(max(seconds, 0))*time.Second, longestDelay), "the receiver answers "+strconv.Itoa(status))
	}
}

// again returns the verdict of an attempt that failed: the next is after as long as has passed since the first, a tenth more or less, but not
// before the receiver wants it. So the delays double, and what they hang on is kept by the broker alone.
func (h *hooks) again(age, least time.Duration, reason string) hookVerdict {
	if age >= h.o.GiveUp {
		return hookVerdict{hookExpired, 0, fmt.Sprintf("%s, after %s of attempts", reason, age.Round(time.Minute))}
	}
	delay := min(max(age, h.first), longestDelay)
	delay += time.Duration((rand.Float64() - 0.5) / 5 * float64(delay))
	delay = min(delay, max(h.o.GiveUp-age, h.first)) // the last is at the end
	return hookVerdict{hookFailed, max(delay, least), reason}
}

// post sends a body.
func (h *hooks) post(ctx context.Context, j asr.Job, id string, body []byte) (*http.Response, error) {
	if err := h.o.Guard.Check(j.Callback); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, j.Callback, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", outbound.ErrForbidden, err)
	}
	secrets, own := h.secrets[j.Client]
	if !own {
		secrets = h.secrets[""]
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "glossa")
	sign(r.Header, secrets, id, time.Now(), body)
	return h.client.Do(r)
}

// hookID returns the id of a callback, the same in all attempts, also where its message was published twice: that of the message.
func hookID(header nats.Header, job string, sequence uint64) string {
	if id := header.Get(nats.MsgIdHdr); id != "" {
		return strings.NewReplacer(":", "_", ".", "_").Replace(id)
	}
	return job + "_hook_" + strconv.FormatUint(sequence, 10)
}

// hookOf returns what a receiver is told of a job.
func (h *hooks) hookOf(ctx context.Context, j asr.Job) Hook {
	hook := Hook{Type: "job." + string(j.State), Timestamp: j.Finished, Job: j}
	if j.State != asr.JobDone {
		return hook
	}
	if h.o.BaseURL != "" {
		hook.ResultURL = h.o.BaseURL + "/v1/jobs/" + j.ID + "/result"
	}
	if j.Audio <= 0 || j.Audio > maxHookAudio {
		return hook
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if r, err := h.result(ctx, j.ID); err == nil && len(r.Text) <= maxHookText {
		hook.Text = &r.Text
	}
	return hook
}

// receiverOf returns the host of an address.
func receiverOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}
