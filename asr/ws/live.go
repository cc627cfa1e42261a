package ws

import (
	"context"
	"sync"
	"time"

	"glossa/asr"
)

// live is a session and what outlives its connections.
type live struct {
	server  *Server
	id      string
	client  string
	route   string
	session Session
	sound   *sound
	cancel  func()
	limit   *time.Timer // of the session's length
	ending  sync.Once

	// owner is the connection that has the session, nil while it waits for one. Of the server's mu, as are the two
	// behind it.
	owner   *conn
	expiry  *time.Timer // of the wait
	expired bool

	// What follows is of the owner's writer.
	replay   replay
	segments int
	done     bool   // its Done event has come
	last     []byte // the message of it

	config Config // of the owner's reader
}

// listen begins a session of a connection, whose sound comes by in, which it stops where it fails. The errors are errFull and those of Options.Listen.
func (s *Server) listen(c *conn, o asr.ListenOptions, in *sound) (*live, error) {
	l := &live{server: s, id: newID(), client: asr.ClientOf(c.ctx), route: c.route, sound: in, owner: c}
	s.mu.Lock()
	full := len(s.lives) >= s.o.Limits.Sessions
	if !full && !s.draining {
		s.lives[l.id] = l
	}
	draining := s.draining
	s.mu.Unlock()
	switch {
	case draining:
		in.stop()
		return nil, errDraining
	case full:
		in.stop()
		return nil, errFull
	}
	o.Client = l.client
	o.MaxQueued = s.o.Limits.Queued
	// The session ends with the server, not with its first connection.
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.ctx))
	unlink := context.AfterFunc(s.ctx, cancel)
	session, err := s.o.Listen(ctx, o)
	if err != nil {
		unlink()
		cancel()
		in.stop()
		s.mu.Lock()
		delete(s.lives, l.id)
		s.mu.Unlock()
		return nil, err
	}
	l.session, in.session = session, session
	l.cancel = func() { unlink(); cancel() }
	l.limit = time.AfterFunc(s.o.Limits.Session, l.expire)
	s.o.Metrics.SessionOpened(l.route)
	return l, nil
}

// expire ends a session that has lasted as long as it may.
func (l *live) expire() {
	if l.endUnowned() {
		return
	}
	l.server.mu.Lock()
	owner := l.owner
	l.server.mu.Unlock()
	if owner != nil {
		owner.conclude(&failure{code: CodeSessionLimit, message: "a session may last " + l.server.o.Limits.Session.String(), close: 1008})
	}
}

// endUnowned ends the session where it has no connection, and tells whether that is so.
func (l *live) endUnowned() bool {
	l.server.mu.Lock()
	unowned := l.owner == nil
	l.expired = l.expired || unowned
	l.server.mu.Unlock()
	if unowned {
		l.finish()
	}
	return unowned
}

// finish ends the session and frees what it has.
func (l *live) finish() {
	l.ending.Do(func() {
		l.server.mu.Lock()
		delete(l.server.lives, l.id)
		l.expired = true
		if l.expiry != nil {
			l.expiry.Stop()
		}
		l.server.mu.Unlock()
		l.limit.Stop()
		l.server.o.Metrics.DroppedPartials(l.session.Dropped())
		l.session.Close()
		l.cancel()
		l.sound.stop()
		l.server.o.Metrics.SessionClosed(l.route)
	})
}

// release takes the session from its connection, which has gone. It waits for another as long as it may.
func (l *live) release(c *conn) {
	l.server.mu.Lock()
	if l.owner == c {
		l.owner = nil
	}
	draining := l.server.draining
	if l.owner == nil && !draining && !l.expired {
		l.expiry = time.AfterFunc(l.server.o.Limits.Resume, func() { l.endUnowned() })
	}
	l.server.mu.Unlock()
	if draining {
		l.endUnowned()
	}
}

// resume gives the session of an id to a connection of the same client. One that has it is closed first. The error is
// errUnknown.
func (s *Server) resume(c *conn, id string) (*live, error) {
	for {
		s.mu.Lock()
		l := s.lives[id]
		if s.draining {
			s.mu.Unlock()
			return nil, errDraining
		}
		if l == nil || l.expired || l.route != c.route || l.client != asr.ClientOf(c.ctx) {
			s.mu.Unlock()
			return nil, errUnknown
		}
		owner := l.owner
		if owner == nil {
			l.owner = c
			if l.expiry != nil {
				l.expiry.Stop()
			}
			s.mu.Unlock()
			return l, nil
		}
		s.mu.Unlock()
		owner.supersede()
		select {
		case <-owner.over:
		case <-c.ctx.Done():
			return nil, context.Cause(c.ctx)
		}
	}
}
