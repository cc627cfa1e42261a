package ws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"glossa/asr"
)

// protocol is what tells the routes apart: how messages of the client are understood, and events are worded.
type protocol interface {
	// text and binary take a message of the client, on the goroutine that reads. They may change the message, and keep
	// nothing of it. The error is a failure, or what failureOf makes one of.
	text(message []byte) error
	binary(message []byte) error

	// event words an event, on the goroutine that writes.
	event(e asr.Event) [][]byte

	// received words what there is to say after sound has come or time has passed, on the goroutine that writes.
	received() [][]byte

	// failed words a failure: nothing where the close frame says it. It may change how it closes, and its message.
	failed(f *failure) [][]byte

	// conclude ends the sound of the session, on the goroutine that reads, before the client does.
	conclude() error
}

// outcome is how a connection ended.
type outcome uint8

const (
	broken   outcome = iota // without a word: its client may come back
	finished                // the session was, and the client has got all
	failed                  // by a failure, or the client closed it
)

// conn is a connection: one goroutine, the request's, reads messages, another writes them.
type conn struct {
	server  *Server
	ws      *websocket.Conn
	route   string
	log     *slog.Logger
	proto   protocol
	ctx     context.Context // ends the writer
	cancel  context.CancelFunc
	signal  chan struct{} // wakes a writer without a session
	written chan struct{} // closed where the writer has ended
	over    chan struct{} // closed where the connection has gone and its session is free

	// resumable sessions wait for another connection where this one breaks.
	resumable bool

	// pongs count as signs of life: there is no keepalive in the protocol.
	pongs bool

	mu        sync.Mutex
	live      *live
	queue     [][]byte // messages to be written before the next event
	closing   *closing // set: the connection closes behind the queue
	concluded *failure // set: the session ends early
	ended     bool     // the sound has: the client waits, and may be silent
	superset  bool     // another connection takes over
	wake      func()   // ends the writer's wait for an event, nil where it does not wait
	sentClose bool
}

// closing is how a connection closes.
type closing struct {
	code   int
	reason string
	how    outcome
}

// serve runs a connection to its end.
func (c *conn) serve() {
	defer c.server.remove(c)
	go c.write()
	echoed, how := c.read()
	<-c.written
	c.mu.Lock()
	closing, sent, l := c.closing, c.sentClose, c.live
	c.mu.Unlock()
	if closing != nil && sent {
		how = closing.how
		if !echoed {
			c.linger()
		}
		if how == finished && !echoed {
			how = broken // the client may have missed the end
		}
	}
	c.ws.Close()
	switch {
	case l == nil:
	case how == broken && c.resumable:
		l.release(c)
	default:
		l.finish()
	}
}

// begin gives the connection its session.
func (c *conn) begin(l *live) {
	c.mu.Lock()
	c.live = l
	concluded := c.concluded != nil
	c.mu.Unlock()
	c.rouse()
	if concluded {
		c.interrupt()
	}
}

// say queues messages to be written before the next event.
func (c *conn) say(messages ...[]byte) {
	const most = 256 // a client that reads its answers never has so many
	c.mu.Lock()
	c.queue = append(c.queue, messages...)
	flood := len(c.queue) > most
	c.mu.Unlock()
	if flood {
		c.close(closing{websocket.ClosePolicyViolation, "answers are not read", failed})
	}
	c.rouse()
}

// close closes the connection behind what is queued. The first call counts.
func (c *conn) close(how closing) {
	c.mu.Lock()
	if c.closing == nil {
		c.closing = &how
	}
	c.mu.Unlock()
	c.rouse()
}

// rouse ends the wait of the writer.
func (c *conn) rouse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wake != nil {
		c.wake()
	}
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// fail tells the client of an error, and closes the connection where it is fatal.
func (c *conn) fail(err error) (fatal bool) {
	told := *failureOf(err) // which the protocol may word its own way
	f := &told
	level := slog.LevelDebug
	if f.code == CodeInternal {
		level = slog.LevelError
	}
	c.log.Log(c.ctx, level, "live session", "client", asr.ClientOf(c.ctx), "error", f)
	c.say(c.proto.failed(f)...)
	if f.close == 0 {
		return false
	}
	how := failed
	if f.code == CodeIdle || f.code == CodeTakenOver {
		how = broken // the session is still there
	}
	c.close(closing{f.close, closeReason(f.message), how})
	return true
}

// conclude makes the session end early, for a reason: what has come of its sound is heard, and the connection closes
// behind its text.
func (c *conn) conclude(why *failure) {
	c.mu.Lock()
	if c.concluded == nil {
		c.concluded = why
	}
	var sound *sound
	if c.live != nil {
		sound = c.live.sound
	}
	c.mu.Unlock()
	if sound != nil {
		sound.giveUp()
	}
	c.interrupt()
}

// supersede makes room for another connection.
func (c *conn) supersede() {
	c.mu.Lock()
	first := !c.superset
	c.superset = true
	c.mu.Unlock()
	if first {
		c.interrupt()
	}
}

// interrupt makes the reader look up.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ws != nil { // extend looks, too
		c.ws.NetConn().SetReadDeadline(time.Unix(1, 0))
	}
}

// read reads messages up to the end of the connection. echoed: the client has closed it, too.
func (c *conn) read() (echoed bool, how outcome) {
	c.ws.SetPongHandler(func(string) error {
		c.mu.Lock()
		alive := c.ended || c.pongs
		c.mu.Unlock()
		if alive {
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
	if err := c.proto.conclude(); err != nil && !errors.Is(err, asr.ErrCancelled) {
		c.fail(err)
	}
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

// tell writes an event.
func (c *conn) tell(l *live, e asr.Event) bool {
	messages := c.proto.event(e)
	l.done = e.Kind == asr.Done
	for _, m := range messages {
		if !c.send(m) {
			return false
		}
	}
	if e.Latency > 0 {
		c.server.o.Metrics.Committed(e.Latency)
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

// linger reads what the client still sends, so that what was written is not lost with the socket, until it closes, too.
func (c *conn) linger() {
	nc := c.ws.NetConn()
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	nc.SetReadDeadline(time.Now().Add(c.server.o.CloseTimeout))
	io.Copy(io.Discard, nc)
}
