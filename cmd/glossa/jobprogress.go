package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"glossa/asr"
)

// jobProgress counts seconds of sound of many files as jobs tell of them. It is safe for concurrent use.
type jobProgress struct {
	console *console
	begin   time.Time

	mu       sync.Mutex
	files    []fileProgress
	done     float64 // seconds that have their text
	audio    float64 // seconds of the files whose duration is known
	known    int64   // bytes of these files
	unknown  int64   // bytes of the others
	ended    int     // files
	failed   int     // of them
	finished bool
}

// fileProgress is what is counted of a file.
type fileProgress struct {
	bytes       int64
	audio, done float64 // seconds; audio is 0 until it is known
	ended       bool
}

// newJobProgress begins to count.
func newJobProgress(c *console, files []soundFile) *jobProgress {
	p := &jobProgress{console: c, begin: time.Now(), files: make([]fileProgress, len(files))}
	for i, f := range files {
		p.files[i].bytes = f.size
		p.unknown += f.size
		p.learn(&p.files[i], f.seconds)
	}
	c.start(int64(p.total())+1, progressbar.OptionSetDescription("jobs"), progressbar.OptionSetPredictTime(true))
	return p
}

// learn notes the duration of a file.
func (p *jobProgress) learn(f *fileProgress, seconds float64) {
	if seconds <= 0 || f.ended {
		return
	}
	if f.audio == 0 {
		p.known += f.bytes
		p.unknown -= f.bytes
	}
	p.audio += seconds - f.audio
	f.audio = seconds
}

// total returns the seconds of all files, those of unknown duration by their size.
func (p *jobProgress) total() float64 {
	if p.known == 0 {
		return p.audio
	}
	return p.audio + p.audio*float64(p.unknown)/float64(p.known)
}

// update counts what a job tells of a file.
func (p *jobProgress) update(i int, j asr.Job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &p.files[i]
	if f.ended {
		return
	}
	p.learn(f, j.Audio)
	if j.Done > f.done { // a job that is begun again tells less at first
		p.done += j.Done - f.done
		f.done = j.Done
	}
	p.show()
}

// end counts a file that has its text, or failed and is left out of the sum.
func (p *jobProgress) end(i int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &p.files[i]
	if f.ended {
		return
	}
	p.ended++
	if ok {
		p.done += f.audio - f.done
		f.done = f.audio
	} else {
		p.failed++
		p.done -= f.done
		p.audio -= f.audio
		if f.audio == 0 {
			p.unknown -= f.bytes
		} else {
			p.known -= f.bytes
		}
	}
	f.ended = true
	p.show()
}

// show moves the bar.
func (p *jobProgress) show() {
	total := max(p.total(), p.done)
	p.console.reach(int64(total)+1, int64(p.done), "%s", p.words(total)) // short of its end, at which a bar would stay
}

// words tells how far it is.
func (p *jobProgress) words(total float64) string {
	text := fmt.Sprintf("%d/%d files, %.0f/%.0f s of audio, RTFx %.1f", p.ended, len(p.files), p.done, total, p.done/time.Since(p.begin).Seconds())
	if p.failed > 0 {
		text += fmt.Sprintf(", %d failed", p.failed)
	}
	return text
}

// finish takes the bar away, and leaves its last words on a terminal.
func (p *jobProgress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.finished {
		return
	}
	p.finished = true
	p.console.stop()
	if p.console.terminal {
		p.console.note("%s", p.words(max(p.total(), p.done)))
	}
}
