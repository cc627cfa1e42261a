package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"glossa/audio"
)

func TestAheadGivesEachFileOnceInAnyOrder(t *testing.T) {
	dir := t.TempDir()
	names := make([]string, 12)
	for i := range names {
		names[i] = filepath.Join(dir, fmt.Sprint(i, ".wav"))
		if i == 7 {
			continue
		}
		if err := writeTone(names[i], 300, 0.1*float64(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	a := newAhead(names, maxUnread)
	defer a.close()
	for _, i := range []int{11, 0, 5, 1, 2, 3, 4, 6, 7, 8, 9, 10} {
		pcm, err := a.take(i)
		if i == 7 {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("file %d: %v", i, err)
			}
			continue
		}
		if want := int(0.1 * float64(i+1) * audio.SampleRate); err != nil || len(pcm) != want {
			t.Errorf("file %d: %d samples, %v, want %d", i, len(pcm), err, want)
		}
	}
	if a.unread != 0 {
		t.Errorf("%d samples left", a.unread)
	}
}

// TestAheadWaitsForRoom checks that files are not decoded without end while nobody takes them.
func TestAheadWaitsForRoom(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.wav")
	if err := writeTone(name, 300, 1); err != nil {
		t.Fatal(err)
	}
	names := slices.Repeat([]string{name}, 100)
	const room = 3 * audio.SampleRate
	a := newAhead(names, room)
	defer a.close()
	limit := room + runtime.GOMAXPROCS(0)*audio.SampleRate // each worker may have one in hand
	for i := range names {
		for a.begun() < min(i+4, len(names)) { // until there is no more room, or nothing to decode
			runtime.Gosched()
		}
		a.mu.Lock()
		unread := a.unread
		a.mu.Unlock()
		if unread > limit {
			t.Fatalf("%d samples unread, at most %d may be", unread, limit)
		}
		if _, err := a.take(i); err != nil {
			t.Fatal(err)
		}
	}
}

// begun returns how many files were begun.
func (a *ahead) begun() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.next
}

// TestAheadLeavesStandardInput closes while the standard input says nothing.
func TestAheadLeavesStandardInput(t *testing.T) {
	silent, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	defer func(stdin *os.File) { os.Stdin = stdin }(os.Stdin)
	os.Stdin = silent
	a := newAhead([]string{stdinName}, maxUnread)
	time.AfterFunc(50*time.Millisecond, a.cancel)
	if _, err := a.take(0); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	a.close()
}
