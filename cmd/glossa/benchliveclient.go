package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"glossa/asr/ws"
)

// liveSpeaker is a client that speaks clips in real time.
type liveSpeaker struct {
	clips   []clip
	pause   time.Duration
	seconds float64
	number  int // tells clients apart: which clip is the first, and when
}

// sound returns what the client says: clips with pauses, as long as it speaks. The last one is spoken to its end.
func (s *liveSpeaker) sound() []byte {
	rng := rand.New(rand.NewPCG(1, uint64(s.number)))
	silence := make([]byte, fileFormat.offset(s.pause.Milliseconds()))
	least := int(fileFormat.offset(int64(1000 * s.seconds)))
	sound := silence[:len(silence)/2/fileFormat.frameBytes()*fileFormat.frameBytes()]
	for next := rng.IntN(len(s.clips)); len(sound) < least; next = (next + 1) % len(s.clips) {
		sound = append(append(sound[:len(sound):len(sound)], s.clips[next].pcm...), silence...)
	}
	return sound
}

// speak speaks sound in real time over a connection, and returns what became of it.
func speak(ctx context.Context, conn liveConn, sound []byte) (*liveWatch, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var sender sync.WaitGroup
	defer sender.Wait()
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	w := &liveWatch{begin: time.Now()}
	sender.Go(func() {
		if err := sendInTime(ctx, conn, sound, w.begin); err != nil {
			cancel(err)
		}
	})
	for {
		e, err := conn.Next()
		now := time.Now()
		switch {
		case errors.Is(err, io.EOF):
			return w, nil
		case ctx.Err() != nil:
			return w, context.Cause(ctx)
		case err != nil:
			return w, err
		case e.Type == ws.TypeError:
			return w, fmt.Errorf("the server said: %s", e.Message)
		}
		w.event(e, now)
	}
}

// sendInTime sends sound in real time, and its end.
func sendInTime(ctx context.Context, conn liveConn, sound []byte, begin time.Time) error {
	for sent := 0; sent < len(sound); {
		to := min(len(sound), sent+fileFormat.chunkBytes())
		spoken := begin.Add(time.Duration(fileFormat.milliseconds(int64(to))) * time.Millisecond)
		if err := sleep(ctx, time.Until(spoken)); err != nil {
			return err
		}
		if err := conn.Send(sound[sent:to]); err != nil {
			return err
		}
		sent = to
	}
	return conn.CloseSend()
}

// speakers lets n clients speak at once, which begin within a second, and returns the sum of their times.
func (b *liveBench) speakers(ctx context.Context, n int) (sum liveSum, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	var mu sync.Mutex
	for i := range n {
		all.Go(func() {
			w, err := b.speaker(ctx, i, n)
			if err != nil {
				cancel(fmt.Errorf("client %d of %d: %w", i+1, n, err))
				return
			}
			mu.Lock()
			defer mu.Unlock()
			sum.add(w)
			b.console.advance(int64(sum.clients), "%d of %d clients", sum.clients, n)
		})
	}
	all.Wait()
	return sum, context.Cause(ctx)
}

// speaker lets client i of n speak.
func (b *liveBench) speaker(ctx context.Context, i, n int) (*liveWatch, error) {
	if err := sleep(ctx, time.Duration(i)*time.Second/time.Duration(n)); err != nil {
		return nil, err
	}
	config := ws.Config{Language: b.flags.Language, Policy: b.flags.Policy, SampleRate: fileFormat.rate, Encoding: fileFormat.encoding}
	conn, err := ws.Dial(ctx, b.server, config, b.flags.header())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	s := liveSpeaker{clips: b.clips, pause: b.flags.Pause, seconds: b.flags.Seconds, number: i}
	return speak(ctx, conn, s.sound())
}

// liveSum are the times of several clients.
type liveSum struct {
	liveTimes
	clients, words, retracted int
	lag                       time.Duration
}

func (s *liveSum) add(w *liveWatch) {
	s.liveTimes.add(w.liveTimes)
	s.clients++
	s.words += w.words
	s.retracted += w.retracted
	s.lag = max(s.lag, w.lag)
}
