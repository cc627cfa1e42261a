package ws

import (
	"context"
	"errors"
	"time"

	"github.com/gorilla/websocket"

	"glossa/asr"
)

// write writes what is queued, and the events of the session, up to the end of the connection.
func (c *conn) write() {
	defer close(c.written)
	nextPing := time.Now().Add(c.server.o.PingEvery)
	for {
		messages, l, closing := c.take()
		if l != nil {
			messages = append(messages, c.proto.received()...)
		}
		for _, m := range messages {
			if !c.send(m) {
				return
			}
		}
		if closing != nil {
			c.sendClose(closing)
			return
		}
		if now := time.Now(); !now.Before(nextPing) {
			nextPing = now.Add(c.server.o.PingEvery)
			if c.ws.WriteControl(websocket.PingMessage, nil, now.Add(c.server.o.WriteTimeout)) != nil {
				c.breakOff()
				return
			}
		}
		if !c.next(l, nextPing) {
			return
		}
	}
}

// take returns what is queued.
func (c *conn) take() ([][]byte, *live, *closing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.signal:
	default:
	}
	messages := c.queue
	c.queue = nil
	return messages, c.live, c.closing
}

// next waits for the next event and writes it; until there is something queued, or a time. !ok: the connection broke.
func (c *conn) next(l *live, until time.Time) (ok bool) {
	ctx, cancel := context.WithDeadline(c.ctx, until)
	defer cancel()
	if l == nil || l.done {
		select {
		case <-c.signal:
		case <-ctx.Done():
		}
		return c.ctx.Err() == nil
	}
	c.mu.Lock()
	waits := len(c.queue) == 0 && c.closing == nil
	select {
	case <-c.signal:
		waits = false
	default:
	}
	c.wake = cancel
	c.mu.Unlock()
	if !waits {
		cancel()
	}
	e, err := l.session.Next(ctx)
	c.mu.Lock()
	c.wake = nil
	c.mu.Unlock()
	switch {
	case err == nil:
		return c.tell(l, e)
	case c.ctx.Err() != nil:
		return false
	case ctx.Err() != nil:
		return true
	}
	c.fail(err)
	return true
}

// tell writes an event, behind what is queued.
func (c *conn) tell(l *live, e asr.Event) bool {
	told := c.proto.event(e)
	l.done = e.Kind == asr.Done
	queued, _, _ := c.take() // what was said before the event, such as that an item is one, is before its text
	for _, m := range append(queued, told...) {
		if !c.send(m) {
			return false
		}
	}
	if e.Latency > 0 {
		c.server.o.Metrics.Committed(e.Latency)
	}
	if e.Kind == asr.Final && e.Text != "" {
		c.server.o.Metrics.Transcribed(e.Language, e.Adapter, e.End-e.Start)
	}
	if e.Kind == asr.Failed {
		c.log.Error("live session: a segment was not decoded", "error", e.Err)
	}
	if l.done {
		c.closeDone()
	}
	return true
}

// closeDone closes the connection of a session that has come to its end.
func (c *conn) closeDone() {
	c.mu.Lock()
	code, reason := websocket.CloseNormalClosure, ""
	if f := c.concluded; f != nil {
		code, reason = f.close, closeReason(f.message)
	}
	c.mu.Unlock()
	c.close(closing{code, reason, finished})
}

// send writes a message. !ok: the client does not read, or is gone.
func (c *conn) send(message []byte) (ok bool) {
	c.ws.SetWriteDeadline(time.Now().Add(c.server.o.WriteTimeout))
	if err := c.ws.WriteMessage(websocket.TextMessage, message); err != nil {
		c.log.Debug("live session: not written", "error", err)
		c.breakOff()
		return false
	}
	return true
}

// breakOff closes the socket under the reader.
func (c *conn) breakOff() {
	c.cancel()
	c.ws.NetConn().Close()
}

// sendClose writes the close frame, after which the client has a little time to answer.
func (c *conn) sendClose(how *closing) {
	deadline := time.Now().Add(c.server.o.WriteTimeout)
	err := c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(how.code, how.reason), deadline)
	if err != nil && !errors.Is(err, websocket.ErrCloseSent) {
		c.breakOff()
		return
	}
	c.mu.Lock()
	c.sentClose = true
	c.mu.Unlock()
	c.ws.NetConn().SetReadDeadline(time.Now().Add(c.server.o.CloseTimeout))
}
