package ws

import (
	"context"
	"errors"
	"net/http"
)

// Client is a session at a server's /v1/stream. One goroutine may send while another calls Next.
type Client struct{}

// Dial connects to the /v1/stream of a server, whose address is http://, https://, ws:// or wss://, and begins a
// session. header may carry an Authorization.
func Dial(ctx context.Context, server string, c Config, header http.Header) (*Client, error) {
	return nil, errors.New("ws: Dial: not there yet")
}

// Ready returns what the server answered.
func (c *Client) Ready() Ready { return Ready{} }

// Send sends sound in the encoding of the config.
func (c *Client) Send(sound []byte) error { return nil }

// Finalize ends the segment.
func (c *Client) Finalize() error { return nil }

// CloseSend says that no more sound comes.
func (c *Client) CloseSend() error { return nil }

// Next returns the next message of the server. After done it is io.EOF.
func (c *Client) Next() (Event, error) { return Event{}, errors.New("ws: Next: not there yet") }

// Close breaks the connection.
func (c *Client) Close() error { return nil }
