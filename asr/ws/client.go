package ws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"glossa/asr"
)

// Dialer says how clients connect.
type Dialer struct {
	// Header is sent with the request, such as an Authorization.
	Header http.Header

	// Reconnect makes clients connect again where a connection breaks, and go on with the session: as long as the
	// server keeps it. Sound that the server may not have is kept, and sent again.
	Reconnect bool

	// Websocket makes the connections. The default value is nil: that of the library, with 10 s for the handshake.
	Websocket *websocket.Dialer
}

// Client is a session at a server's /v1/stream. One goroutine may send while another calls Next.
type Client struct {
	dialer Dialer
	url    string
	config Config
	ready  Ready

	sending sync.Mutex // held while something is written, so that it is in the order of outbox

	mu     sync.Mutex
	outbox outbox
	conn   *websocket.Conn
	closed bool

	// Of Next.
	lastSeq int64
	over    error // what Next returns from now on
}

// Dial connects to the /v1/stream of a server, whose address is http://, https://, ws:// or wss://, and begins a
// session. header may carry an Authorization.
func Dial(ctx context.Context, server string, c Config, header http.Header) (*Client, error) {
	return Dialer{Header: header}.Dial(ctx, server, c)
}

// Dial connects as [Dial] does. The errors wrap asr.ErrInvalid, ErrNotFound, ErrBusy or ErrInternal where the server
// refuses.
func (d Dialer) Dial(ctx context.Context, server string, c Config) (*Client, error) {
	u, err := streamURL(server)
	if err != nil {
		return nil, err
	}
	if d.Websocket == nil {
		d.Websocket = &websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: 10 * time.Second}
	}
	client := &Client{dialer: d, url: u, config: c}
	conn, ready, err := client.connect(ctx, c.Resume)
	if err != nil {
		return nil, err
	}
	client.conn, client.ready = conn, ready
	if c.Resume != nil {
		client.lastSeq = c.Resume.LastSeq
		client.outbox.begin(ready.AudioOffsetBytes)
	}
	return client, nil
}

// Ready returns what the server answered.
func (c *Client) Ready() Ready { return c.ready }

// LastSeq returns that of the last event that Next returned, for a [Resume]. It is of the goroutine of Next.
func (c *Client) LastSeq() int64 { return c.lastSeq }

// Send sends sound in the encoding of the config, in messages of at most Ready().Limits.FrameBytes. It waits while the
// server has no room.
func (c *Client) Send(sound []byte) error {
	limit := int(c.ready.Limits.FrameBytes)
	if limit <= 0 || c.config.Encoding == "opus" { // a packet stays one
		limit = max(len(sound), 1)
	} else {
		limit = max(limit/frameMultiple, 1) * frameMultiple
	}
	for first := true; first || len(sound) > 0; first = false {
		n := min(limit, len(sound))
		if err := c.post(item{kind: websocket.BinaryMessage, message: sound[:n]}); err != nil {
			return err
		}
		sound = sound[n:]
	}
	return nil
}

// frameMultiple is a number of bytes that sample frames of every encoding and number of channels divide.
const frameMultiple = 4 * 840

// Finalize ends the segment.
func (c *Client) Finalize() error { return c.postJSON(Event{Type: TypeFinalize}) }

// Update changes the session for what begins after the present segment: the fields of u that are not zero.
func (c *Client) Update(u Config) error {
	u.Type, u.Resume = TypeUpdate, nil
	return c.postJSON(u)
}

// KeepAlive tells the server that the client is there. While no sound comes, it has to be sent within
// Ready().Limits.IdleMS.
func (c *Client) KeepAlive() error { return c.postJSON(Event{Type: TypeKeepAlive}) }

// CloseSend says that no more sound comes.
func (c *Client) CloseSend() error { return c.postJSON(Event{Type: TypeClose}) }

func (c *Client) postJSON(message any) error {
	b := encode(message)
	if e, ok := message.(Event); ok {
		b = encode(struct {
			Type string `json:"type"`
		}{e.Type})
	}
	return c.post(item{kind: websocket.TextMessage, message: b})
}

// post writes a message. Where clients connect again it is kept, and its failure is for Next to heal.
func (c *Client) post(i item) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	conn, err := c.keep(i)
	if err != nil {
		return err
	}
	conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	err = conn.WriteMessage(i.kind, i.message)
	if err == nil {
		return nil
	}
	if c.dialer.Reconnect {
		conn.NetConn().Close() // the reader finds out
		return nil
	}
	return fmt.Errorf("ws: %w", err)
}

// keep keeps a message where clients connect again, and returns the connection to write it to.
func (c *Client) keep(i item) (*websocket.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("ws: %w: the client is closed", asr.ErrCancelled)
	}
	if c.dialer.Reconnect {
		if err := c.outbox.add(i); err != nil {
			return nil, err
		}
	}
	return c.conn, nil
}

// Next returns the next message of the server. After done it is io.EOF. After a fatal error message it is an error that
// wraps one of asr's.
func (c *Client) Next() (Event, error) {
	for c.over == nil {
		e, err := c.receive()
		if err == nil {
			c.note(e)
			return e, nil
		}
		if !c.dialer.Reconnect || c.isClosed() {
			c.over = fmt.Errorf("ws: the connection broke: %w", err)
		} else if err := c.reconnect(); err != nil {
			c.over = err
		}
	}
	return Event{}, c.over
}

// receive reads a message.
func (c *Client) receive() (Event, error) {
	conn := c.conn // only this goroutine changes it
	alive := func() { conn.SetReadDeadline(time.Now().Add(silentTimeout)) }
	alive()
	conn.SetPingHandler(func(data string) error {
		alive()
		conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		return nil
	})
	_, message, err := conn.ReadMessage()
	if err != nil {
		return Event{}, err
	}
	var e Event
	if err := json.Unmarshal(message, &e); err != nil {
		return Event{}, fmt.Errorf("ws: a message is not understood: %w", err)
	}
	return e, nil
}

// note remembers what an event says of the session.
func (c *Client) note(e Event) {
	c.lastSeq = max(c.lastSeq, e.Seq)
	switch {
	case e.Type == TypeAck:
		c.mu.Lock()
		c.outbox.forget(e.AudioBytes)
		c.mu.Unlock()
	case e.Type == TypeDone:
		c.over = io.EOF
		c.finish()
	case e.Type == TypeError && e.Fatal:
		c.over = e.err()
	}
}

// finish answers the server's close, so that it keeps the session no longer.
func (c *Client) finish() {
	c.conn.SetReadDeadline(time.Now().Add(time.Second))
	for {
		if _, _, err := c.conn.NextReader(); err != nil {
			return
		}
	}
}

// reconnect goes on with the session over another connection, as long as the server may keep it.
func (c *Client) reconnect() error {
	c.conn.Close()
	c.sending.Lock()
	defer c.sending.Unlock()
	wait := time.Duration(c.ready.Limits.ResumeMS) * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	const shortest, longest = 50 * time.Millisecond, 2 * time.Second
	for pause := shortest; ; pause = min(2*pause, longest) {
		conn, ready, err := c.connect(ctx, &Resume{SessionID: c.ready.SessionID, LastSeq: c.lastSeq})
		if err == nil {
			err = c.sendAgain(conn, ready)
		}
		switch {
		case c.isClosed():
			return fmt.Errorf("ws: %w: the client is closed", asr.ErrCancelled)
		case err == nil:
			return nil
		case errors.Is(err, asr.ErrNotFound), errors.Is(err, asr.ErrInvalid), ctx.Err() != nil:
			return fmt.Errorf("ws: the connection broke, and the session cannot be gone on with: %w", err)
		}
		time.Sleep(pause)
	}
}

// sendAgain makes conn the client's, and sends what the server has not, before anything newer.
func (c *Client) sendAgain(conn *websocket.Conn, ready Ready) error {
	c.mu.Lock()
	c.conn = conn
	if c.closed {
		conn.Close()
	}
	missing, err := c.outbox.from(ready.AudioOffsetBytes)
	c.mu.Unlock()
	if err != nil {
		conn.Close()
		return err
	}
	for _, i := range missing {
		conn.SetWriteDeadline(time.Now().Add(sendTimeout))
		if err := conn.WriteMessage(i.kind, i.message); err != nil {
			conn.Close()
			return fmt.Errorf("ws: %w", err)
		}
	}
	return nil
}

func (c *Client) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Close breaks the connection: the server ends the session.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	return c.conn.Close()
}
