package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"time"

	"glossa/audio"
)

// maxUnread is the number of samples that may lie decoded and unread before no further file is
// begun: half an hour, 115 MB.
const maxUnread = 30 * 60 * audio.SampleRate

// ahead decodes sound files before they are asked for.
type ahead struct {
	mu     sync.Mutex
	room   sync.Cond
	files  []decoding
	next   int // first file that was not begun
	unread int // samples in files
	closed bool

	ctx     context.Context // of the decoders
	cancel  context.CancelFunc
	workers sync.WaitGroup

	maxUnread int
}

// decoding is a file on its way.
type decoding struct {
	once sync.Once
	name string
	pcm  []float32
	err  error
}

// newAhead begins to decode files, none while more than so many samples are unread. It must be
// closed.
func newAhead(names []string, maxUnread int) *ahead {
	a := &ahead{files: make([]decoding, len(names)), maxUnread: maxUnread}
	a.room.L = &a.mu
	a.ctx, a.cancel = context.WithCancel(context.Background())
	for i, name := range names {
		a.files[i].name = name
	}
	for range min(runtime.GOMAXPROCS(0), len(names)) {
		a.workers.Go(a.work)
	}
	return a
}

// close ends the workers, and the programs that they run.
func (a *ahead) close() {
	a.mu.Lock()
	a.closed = true
	a.room.Broadcast()
	a.mu.Unlock()
	a.cancel()
	a.workers.Wait()
}

func (a *ahead) work() {
	for {
		a.mu.Lock()
		for a.unread > a.maxUnread && !a.closed {
			a.room.Wait()
		}
		i := a.next
		a.next++
		done := a.closed || i >= len(a.files)
		a.mu.Unlock()
		if done {
			return
		}
		a.decode(&a.files[i])
	}
}

// decode decodes a file unless that is done, and waits where another does it.
func (a *ahead) decode(d *decoding) {
	d.once.Do(func() {
		d.pcm, d.err = readAudio(a.ctx, d.name)
		a.mu.Lock()
		a.unread += len(d.pcm)
		a.mu.Unlock()
	})
}

// take returns the samples of file i and forgets them.
func (a *ahead) take(i int) ([]float32, error) {
	d := &a.files[i]
	a.decode(d)
	a.mu.Lock()
	defer a.mu.Unlock()
	pcm := d.pcm
	d.pcm = nil
	a.unread -= len(pcm)
	a.room.Broadcast()
	return pcm, d.err
}

// stdinName stands for the standard input among the names of files.
const stdinName = "-"

// readAudio returns the samples of a sound file at 16 kHz. Its errors do not name the file.
func readAudio(ctx context.Context, name string) ([]float32, error) {
	if name == stdinName {
		return readStdin(ctx)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, reason(err)
	}
	if info.IsDir() {
		return nil, errors.New("is a directory; pass the files in it")
	}
	pcm, err := audio.DecodeContext(ctx, f, audio.Limits{})
	return pcm.Samples, err
}

// readStdin is readAudio of the standard input. Nothing interrupts a read of it: one that goes on when
// ctx is done is left behind.
func readStdin(ctx context.Context) ([]float32, error) {
	var pcm audio.PCM
	stdin, failed := os.Stdin, make(chan error, 1)
	go func() {
		var err error
		pcm, err = audio.DecodeContext(ctx, stdin, audio.Limits{})
		failed <- err
	}()
	select {
	case err := <-failed:
		return pcm.Samples, err
	case <-ctx.Done():
	}
	const patience = time.Second // for what it has begun to be cleared away
	select {
	case <-failed:
	case <-time.After(patience):
	}
	return nil, ctx.Err()
}

// reason returns what is wrong with a path, without the path.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return err
}
