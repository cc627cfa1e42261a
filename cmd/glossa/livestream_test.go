package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"glossa/asr/ws"
)

// liveServer is a server of one session that tells one event for each second of sound, acknowledges the
// sound of all but the last second, and breaks each connection after some events.
type liveServer struct {
	sound    []byte
	events   []ws.Event
	breaks   int // events that a connection carries, 0 for all
	dead     bool
	dials    []time.Duration // since begin
	begin    time.Time
	refusals int // dials that fail
	gone     bool
}

var errGone = errors.New("no such session")

func (s *liveServer) dial(_ context.Context, c ws.Config) (liveConn, error) {
	s.dials = append(s.dials, time.Since(s.begin))
	if len(s.dials) > 1 && s.refusals > 0 {
		s.refusals--
		return nil, io.ErrUnexpectedEOF
	}
	conn := &liveTestConn{server: s, events: make(chan ws.Event, 1000), broken: make(chan struct{})}
	if c.Resume != nil {
		if s.gone {
			return nil, errGone
		}
		acked := max(0, len(s.events)-1)
		s.sound = s.sound[:acked*second]
		s.events = s.events[:min(len(s.events), acked+1)] // told again are those that the client may not have seen
		conn.ready.AudioOffsetMS = int64(1000 * acked)
		for _, e := range s.events {
			if e.Seq > c.Resume.LastSeq {
				conn.events <- e
			}
		}
	}
	conn.ready.SessionID, conn.ready.Limits.QueuedMS = "id", 4000
	return conn, nil
}

// second is the size of a second of sound.
var second = int(fileFormat.offset(1000))

type liveTestConn struct {
	server *liveServer
	ready  ws.Ready
	events chan ws.Event
	broken chan struct{}
	told   int
	closed bool
}

func (c *liveTestConn) Ready() ws.Ready { return c.ready }

func (c *liveTestConn) Send(sound []byte) error {
	s := c.server
	s.sound = append(s.sound, sound...)
	for n := len(s.events); len(s.sound) >= (n+1)*second; n++ {
		e := ws.Event{Type: ws.TypeFinal, Seq: int64(n + 1), EndMS: int64(1000 * (n + 1))}
		s.events = append(s.events, e)
		c.events <- e
		c.events <- ws.Event{Type: ws.TypeAck, AudioMS: int64(1000 * n)}
	}
	return nil
}

func (c *liveTestConn) CloseSend() error {
	c.events <- ws.Event{Type: ws.TypeDone}
	close(c.events)
	return nil
}

func (c *liveTestConn) Next() (ws.Event, error) {
	if c.server.breaks > 0 && c.told >= c.server.breaks {
		return ws.Event{}, io.ErrUnexpectedEOF
	}
	select {
	case <-c.broken:
		return ws.Event{}, io.ErrUnexpectedEOF
	case e, ok := <-c.events:
		if !ok {
			return ws.Event{}, io.EOF
		}
		c.told++
		return e, nil
	}
}

func (c *liveTestConn) Close() error {
	if !c.closed {
		c.closed = true
		close(c.broken)
	}
	return nil
}

// testSound returns seconds of sound of which no two samples are alike.
func testSound(seconds int) []byte {
	sound := make([]byte, seconds*second)
	for i := range sound {
		sound[i] = byte(i/2*7 + i/509)
	}
	return sound
}

// listenTo streams sound to a server and returns the numbers of the events that were told.
func listenTo(ctx context.Context, s *liveServer, sound liveSound, paced bool) (seqs []int64, err error) {
	s.begin = time.Now()
	stream := &liveStream{
		dial: s.dial, format: fileFormat, retry: 5 * time.Second, paced: paced,
		event: func(e ws.Event) error {
			if e.Seq > 0 {
				seqs = append(seqs, e.Seq)
			}
			return nil
		},
		warn: func(string) {},
	}
	err = stream.run(ctx, sound)
	return seqs, err
}

// TestBrokenConnectionsLoseNothing checks that all sound comes to the server once, and all events to the
// client once, however often the connection breaks.
func TestBrokenConnectionsLoseNothing(t *testing.T) {
	for _, realTime := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := &liveServer{breaks: 5, refusals: 3}
			sound := testSound(20)
			seqs, err := listenTo(t.Context(), s, fileSound(sound, fileFormat, realTime), !realTime)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(s.sound, sound) {
				t.Errorf("real time %v: %d bytes came, %d were sent, or they differ", realTime, len(s.sound), len(sound))
			}
			want := make([]int64, 20)
			for i := range want {
				want[i] = int64(i + 1)
			}
			if !slices.Equal(seqs, want) {
				t.Errorf("real time %v: events %v", realTime, seqs)
			}
			if len(s.dials) < 5 {
				t.Errorf("real time %v: %d connections", realTime, len(s.dials))
			}
			if took := time.Since(s.begin); realTime && took < 20*time.Second || !realTime && took > 15*time.Second {
				t.Errorf("real time %v: it took %v", realTime, took)
			}
		})
	}
}

// TestGivesUp checks that a client tries for its time, and not at all where the session is gone.
func TestGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &liveServer{breaks: 3, refusals: 1000}
		_, err := listenTo(t.Context(), s, fileSound(testSound(10), fileFormat, true), false)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("error %v", err)
		}
		if tried := s.dials[len(s.dials)-1] - s.dials[1]; tried < 4*time.Second || tried > 8*time.Second {
			t.Errorf("tried for %v", tried)
		}
		s = &liveServer{breaks: 3, gone: true}
		if _, err = listenTo(t.Context(), s, fileSound(testSound(10), fileFormat, true), false); !errors.Is(err, errGone) || len(s.dials) != 2 {
			t.Errorf("error %v after %d connections", err, len(s.dials))
		}
	})
}

// TestInterruptEndsTheSound checks that text of what came before an interrupt is waited for.
func TestInterruptEndsTheSound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3500*time.Millisecond, cancel)
		s := &liveServer{}
		seqs, err := listenTo(ctx, s, fileSound(testSound(10), fileFormat, true), false)
		if err != nil || !slices.Equal(seqs, []int64{1, 2, 3}) {
			t.Errorf("events %v, error %v", seqs, err)
		}
		if sent := fileFormat.milliseconds(int64(len(s.sound))); sent < 3400 || sent > 3500 {
			t.Errorf("%d ms were sent", sent)
		}
	})
}

// TestFastSoundWaitsForTheServer checks that a file is not sent further ahead than the server lets sound wait.
func TestFastSoundWaitsForTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowServer{liveServer: liveServer{}}
		stream := &liveStream{
			dial: s.dial, format: fileFormat, paced: true, warn: func(string) {},
			event: func(ws.Event) error { time.Sleep(100 * time.Millisecond); return nil },
		}
		if err := stream.run(t.Context(), fileSound(testSound(60), fileFormat, false)); err != nil {
			t.Fatal(err)
		}
		if s.ahead > 4000 || len(s.sound) != 60*second {
			t.Errorf("%d ms waited, %d bytes came", s.ahead, len(s.sound))
		}
	})
}

// slowServer notes how much sound waits.
type slowServer struct {
	liveServer
	ahead int64 // milliseconds
}

func (s *slowServer) dial(ctx context.Context, c ws.Config) (liveConn, error) {
	conn, err := s.liveServer.dial(ctx, c)
	return &slowConn{conn.(*liveTestConn), s}, err
}

type slowConn struct {
	*liveTestConn
	slow *slowServer
}

func (c *slowConn) Send(sound []byte) error {
	err := c.liveTestConn.Send(sound)
	waiting := int64(len(c.events)) / 2 * 1000 // two events for each second
	c.slow.ahead = max(c.slow.ahead, waiting)
	return err
}

func TestRawSoundIsWholeSamples(t *testing.T) {
	f := soundFormat{"pcm_s16le", 8000, 2}
	r, w := io.Pipe()
	sent := testSound(1)[:4001] // and one byte of a sample that never ends
	go func() {
		for part := range slices.Chunk(sent, 7) {
			w.Write(part)
		}
		w.Close()
	}()
	var got []byte
	for sound := readSound(t.Context(), r, f); ; {
		chunk, err := sound(t.Context())
		if len(chunk)%f.frameBytes() != 0 {
			t.Fatalf("%d bytes are no whole samples", len(chunk))
		}
		got = append(got, chunk...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, sent[:4000]) {
		t.Errorf("%d bytes", len(got))
	}
}
