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

// liveServer is a session that tells one event for each second of sound, some time after it came, and
// acknowledges it.
type liveServer struct {
	takes  time.Duration // to hear a second
	sound  []byte
	events chan ws.Event
	ahead  int64 // the most sound that waited, in milliseconds
}

func newLiveServer(takes time.Duration) *liveServer {
	return &liveServer{takes: takes, events: make(chan ws.Event, 1000)}
}

// second is the size of a second of sound.
var second = int(fileFormat.offset(1000))

func (s *liveServer) Ready() ws.Ready { return ws.Ready{Limits: ws.Limits{QueuedMS: 4000}} }

func (s *liveServer) Send(sound []byte) error {
	before := len(s.sound) / second
	s.sound = append(s.sound, sound...)
	for n := before + 1; n <= len(s.sound)/second; n++ {
		s.events <- ws.Event{Type: ws.TypeAck, Seq: int64(n), AudioMS: int64(1000 * n)}
	}
	s.ahead = max(s.ahead, int64(len(s.events))*1000)
	return nil
}

func (s *liveServer) CloseSend() error {
	s.events <- ws.Event{Type: ws.TypeDone}
	close(s.events)
	return nil
}

func (s *liveServer) Next() (ws.Event, error) {
	e, ok := <-s.events
	if !ok {
		return e, io.EOF
	}
	time.Sleep(s.takes)
	return e, nil
}

func (s *liveServer) Close() error { return nil }

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
	stream := &liveStream{conn: s, format: fileFormat, paced: paced, event: func(e ws.Event) error {
		if e.Seq > 0 {
			seqs = append(seqs, e.Seq)
		}
		return nil
	}}
	err = stream.run(ctx, sound)
	return seqs, err
}

// TestFilesAreSpoken checks that a file takes its time, and all of it comes to the server; and that as fast as may
// be, it waits for the server, so that no more than half of what may wait does.
func TestFilesAreSpoken(t *testing.T) {
	for _, realTime := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			s := newLiveServer(100 * time.Millisecond)
			sound := append(testSound(20), 1, 2)
			seqs, err := listenTo(t.Context(), s, fileSound(sound, fileFormat, realTime), !realTime)
			if err != nil || len(seqs) != 20 || !slices.IsSorted(seqs) {
				t.Errorf("real time %v: events %v, error %v", realTime, seqs, err)
			}
			if !bytes.Equal(s.sound, sound) {
				t.Errorf("real time %v: %d bytes came, %d were sent, or they differ", realTime, len(s.sound), len(sound))
			}
			if s.ahead > 3000 {
				t.Errorf("real time %v: %d ms waited", realTime, s.ahead)
			}
			if took := time.Since(begin).Round(time.Millisecond); realTime && took < 20*time.Second || !realTime && took > 3*time.Second {
				t.Errorf("real time %v: it took %v", realTime, took)
			}
		})
	}
}

// TestInterruptEndsTheSound checks that text of what came before an interrupt is waited for.
func TestInterruptEndsTheSound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3550*time.Millisecond, cancel)
		s := newLiveServer(time.Second)
		seqs, err := listenTo(ctx, s, fileSound(testSound(10), fileFormat, true), false)
		if err != nil || !slices.Equal(seqs, []int64{1, 2, 3}) {
			t.Errorf("events %v, error %v", seqs, err)
		}
		if sent := fileFormat.milliseconds(int64(len(s.sound))); sent != 3500 {
			t.Errorf("%d ms were sent", sent)
		}
	})
}

// TestSoundThatBreaksOff checks that its error comes after the text of what came before.
func TestSoundThatBreaksOff(t *testing.T) {
	broken := errors.New("broken")
	n := 0
	s := newLiveServer(0)
	seqs, err := listenTo(t.Context(), s, func(context.Context) ([]byte, error) {
		if n++; n > 2 {
			return nil, broken
		}
		return testSound(1), nil
	}, false)
	if !errors.Is(err, broken) || !slices.Equal(seqs, []int64{1, 2}) {
		t.Errorf("events %v, error %v", seqs, err)
	}
}

// TestSessionCutShort checks that a server that is done before the sound is an error.
func TestSessionCutShort(t *testing.T) {
	s := newLiveServer(0)
	s.events <- ws.Event{Type: ws.TypeDone}
	close(s.events)
	_, err := listenTo(t.Context(), s, func(ctx context.Context) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}, false)
	if !errors.Is(err, errCutShort) {
		t.Errorf("error %v", err)
	}
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
