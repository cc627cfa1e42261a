package ws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"glossa/asr"
)

// streamURL returns the address of /v1/stream of a server.
func streamURL(server string) (string, error) {
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", fmt.Errorf("ws: %w: server: %w", asr.ErrInvalid, err)
	}
	switch u.Scheme {
	case "http", "ws":
		u.Scheme = "ws"
	case "https", "wss":
		u.Scheme = "wss"
	default:
		return "", fmt.Errorf("ws: %w: server %q: want http://, https://, ws:// or wss://", asr.ErrInvalid, server)
	}
	if !strings.HasSuffix(u.Path, "/v1/stream") {
		u = u.JoinPath("/v1/stream")
	}
	return u.String(), nil
}

// connect opens a connection, sends the config and waits for the answer.
func (c *Client) connect(ctx context.Context, resume *Resume) (*websocket.Conn, Ready, error) {
	conn, answer, err := c.dialer.Websocket.DialContext(ctx, c.url, c.dialer.Header)
	if err != nil {
		return nil, Ready{}, refusal(err, answer)
	}
	// The handshake with the session is broken off with ctx, too.
	stop := context.AfterFunc(ctx, func() { conn.NetConn().SetDeadline(time.Unix(1, 0)) })
	ready, err := c.begin(conn, resume)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, Ready{}, err
	}
	return conn, ready, nil
}

// begin sends the config and reads ready.
func (c *Client) begin(conn *websocket.Conn, resume *Resume) (Ready, error) {
	config := c.config
	config.Type, config.Resume = TypeConfig, resume
	if err := conn.WriteJSON(config); err != nil {
		return Ready{}, fmt.Errorf("ws: %w", err)
	}
	conn.SetReadDeadline(time.Now().Add(readyTimeout))
	_, message, err := conn.ReadMessage()
	if err != nil {
		return Ready{}, fmt.Errorf("ws: no answer: %w", err)
	}
	var ready Ready
	var event Event
	if err := errors.Join(json.Unmarshal(message, &ready), json.Unmarshal(message, &event)); err != nil {
		return Ready{}, fmt.Errorf("ws: the answer is not understood: %w", err)
	}
	switch ready.Type {
	case TypeReady:
		return ready, nil
	case TypeError:
		return Ready{}, event.err()
	}
	return Ready{}, fmt.Errorf("ws: the answer is of type %q", ready.Type)
}

const (
	readyTimeout  = 30 * time.Second
	silentTimeout = time.Minute // a server that lives pings more often
	sendTimeout   = time.Minute // the server reads nothing while it has no room
)

// refusal is why a server did not upgrade.
func refusal(err error, answer *http.Response) error {
	if answer == nil {
		return fmt.Errorf("ws: %w", err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	kind := asr.ErrInvalid
	switch {
	case answer.StatusCode == http.StatusServiceUnavailable || answer.StatusCode == http.StatusTooManyRequests:
		kind = asr.ErrBusy
	case answer.StatusCode == http.StatusNotFound:
		kind = asr.ErrNotFound
	case answer.StatusCode >= 500:
		kind = asr.ErrInternal
	}
	return fmt.Errorf("ws: %w: the server answers %s: %s", kind, answer.Status, strings.TrimSpace(string(body)))
}

// err is the error that an error message tells of.
func (e Event) err() error {
	kind := asr.ErrInternal
	switch e.Code {
	case CodeInvalid, CodeInvalidAudio, CodeTooLarge, CodeIdle, CodeSessionLimit, CodeTakenOver:
		kind = asr.ErrInvalid
	case CodeNotFound:
		kind = asr.ErrNotFound
	case CodeBusy, CodeOverrun:
		kind = asr.ErrBusy
	case CodeDraining:
		kind = asr.ErrCancelled
	}
	return fmt.Errorf("ws: %w: %s (%s)", kind, e.Message, e.Code)
}
