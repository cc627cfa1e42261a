package ws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gorilla/websocket"

	"glossa/asr"
)

// read reads messages up to the end of the connection. echoed: the client has closed it, too.
func (c *conn) read() (echoed bool, how outcome) {
	c.ws.SetPongHandler(func(string) error {
		if c.ended || c.pongs {
			c.extend(time.Time{})
		}
		return nil
	})
	var buffer bytes.Buffer
	configured := time.Now().Add(c.server.o.ConfigTimeout)
	for {
		c.extend(configured)
		kind, err := c.message(&buffer)
		if err == nil {
			switch kind {
			case websocket.TextMessage:
				err = c.proto.text(buffer.Bytes())
			case websocket.BinaryMessage:
				err = c.proto.binary(buffer.Bytes())
			}
			if err == nil {
				continue
			}
			if !errors.Is(err, errEnding) {
				if c.endFaulty(err) {
					return false, broken
				}
				if c.fail(err) {
					return false, failed
				}
				continue
			}
			err = nil
		}
		return c.lookUp(err)
	}
}

// lookUp finds out why reading has stopped: by an error, or because it was interrupted.
func (c *conn) lookUp(err error) (echoed bool, how outcome) {
	c.mu.Lock()
	closing, sent, concluded, superset, live := c.closing, c.sentClose, c.concluded, c.superset, c.live
	c.mu.Unlock()
	var closed *websocket.CloseError
	var timeout net.Error
	var f *failure
	switch {
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		c.cancel()
		if closed.Code == websocket.CloseNormalClosure && closing == nil {
			return true, failed
		}
		return sent, broken
	case closing != nil && closing.how == failed:
		return false, failed
	case closing != nil: // whether the client gets its end, is not known
		return false, broken
	case superset:
		c.fail(errTaken)
		return false, broken
	case concluded != nil:
		c.endEarly(*concluded, live)
		return false, broken
	case errors.As(err, &timeout) && timeout.Timeout():
		c.fail(c.idle(live))
		return false, broken
	case errors.As(err, &f):
		if c.endFaulty(f) {
			return false, broken
		}
		c.fail(f)
		return false, failed
	}
	c.cancel()
	return false, broken
}

// endEarly ends the sound before the client does, and tells why.
func (c *conn) endEarly(why failure, l *live) {
	if l != nil {
		why.close = 0 // not before the text
	}
	if c.fail(&why) {
		return
	}
	err := c.endSound()
	if err == nil || errors.Is(err, asr.ErrCancelled) || failureOf(err).close == websocket.ClosePolicyViolation {
		return // sound that ends within a packet has text, too
	}
	c.fail(err)
}

// endFaulty ends the sound of a session of /v1/stream whose client has sent what cannot be taken: what came before it is
// heard, and the connection closes behind done. It reports whether that is so.
func (c *conn) endFaulty(err error) bool {
	f := failureOf(err)
	c.mu.Lock()
	l := c.live
	ends := c.resumable && l != nil && c.closing == nil && (f.close == websocket.ClosePolicyViolation || f.close == websocket.CloseMessageTooBig)
	if ends && c.concluded == nil {
		c.concluded = f
	}
	c.mu.Unlock()
	if ends {
		l.sound.giveUp()
		c.endEarly(*f, l)
	}
	return ends
}

// idle is the failure of a client that sends nothing.
func (c *conn) idle(live *live) *failure {
	if live == nil && !c.pongs {
		return &failure{code: CodeIdle, message: fmt.Sprintf("no config within %v", c.server.o.ConfigTimeout), close: websocket.ClosePolicyViolation}
	}
	return &failure{code: CodeIdle, message: fmt.Sprintf("nothing came for %v: send a keepalive", c.server.o.Limits.Idle),
		close: websocket.ClosePolicyViolation}
}

// extend sets until when the next message has to come; before there is a session, at the latest at the time given.
func (c *conn) extend(configured time.Time) {
	c.mu.Lock()
	wait := c.server.o.Limits.Idle
	if c.ended {
		wait = 3 * c.server.o.PingEvery // pongs come meanwhile
	}
	deadline := time.Now().Add(wait)
	if c.live == nil && !c.pongs && !configured.IsZero() {
		deadline = configured
	}
	if c.sentClose {
		deadline = time.Now().Add(c.server.o.CloseTimeout)
	}
	c.ws.NetConn().SetReadDeadline(deadline)
	if c.superset || c.concluded != nil || c.closing != nil && !c.sentClose {
		c.ws.NetConn().SetReadDeadline(time.Unix(1, 0))
	}
	c.mu.Unlock()
}

// keptBuffer is the size of a message whose memory is used again.
const keptBuffer = 1 << 15

// message reads a message into buffer.
func (c *conn) message(buffer *bytes.Buffer) (kind int, err error) {
	if buffer.Cap() > keptBuffer {
		*buffer = bytes.Buffer{}
	}
	buffer.Reset()
	kind, r, err := c.ws.NextReader()
	if err != nil {
		return 0, err
	}
	limit := c.server.o.Limits.FrameBytes
	n, err := io.Copy(buffer, io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = &failure{code: CodeTooLarge, message: fmt.Sprintf("a message of more than %d bytes", limit), close: websocket.CloseMessageTooBig}
	}
	return kind, err
}

// linger reads what the client still sends, so that what was written is not lost with the socket, until it closes, too.
func (c *conn) linger() {
	nc := c.ws.NetConn()
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	nc.SetReadDeadline(time.Now().Add(c.server.o.CloseTimeout))
	io.Copy(io.Discard, nc)
}
