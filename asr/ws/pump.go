package ws

import (
	"context"
	"log/slog"
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

	// ended: the sound has; the client waits, and may be silent. Of the goroutine that reads.
	ended bool

	mu        sync.Mutex
	live      *live
	queue     [][]byte // messages to be written before the next event
	closing   *closing // set: the connection closes behind the queue
	concluded *failure // set: the session ends early
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
	how := failed // where a message makes the reader panic, too
	defer func() { c.part(how) }()
	go c.write()
	var echoed bool
	echoed, how = c.read()
	<-c.written
	c.mu.Lock()
	closing, sent := c.closing, c.sentClose
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
}

// part closes the socket, and ends the session or leaves it to another connection.
func (c *conn) part(how outcome) {
	c.cancel()
	c.ws.Close()
	<-c.written
	c.mu.Lock()
	l := c.live
	c.mu.Unlock()
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
	flood := len(c.queue) >= most
	c.queue = append(c.queue, messages...)
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

// endSound ends the sound of the session.
func (c *conn) endSound() error {
	c.ended = true
	return c.live.sound.close()
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
