package simulate

import (
	"math"
	"slices"
	"time"

	"glossa/asr"
)

// job is a recording on its way: what is known of it whoever serves it.
type job struct {
	index    int64
	came     time.Duration
	seconds  float64
	priority asr.Priority
	language string
	adapter  int32 // number of its adapter, 0 the base model
	untold   bool  // nobody tells its language
	detect   bool  // and it is not known yet
	speech   bool
	words    bool

	deliveries int
	begun      bool // sound of it was encoded

	// What is done of it and survives its worker: frames of one that is heard from its beginning to its end, or the windows of one
	// whose speech is decoded side by side.
	frame, window, tokens int
	done                  []bool

	// On its worker.
	worker *worker
	number int   // among the worker's jobs
	left   int   // tasks that are not done
	spread bool  // all windows of its speech are tasks
	turn   int64 // among those that came to the engine
}

// lose forgets what its worker knew, but for the windows that were done.
func (j *job) lose() {
	j.worker, j.left = nil, 0
	j.detect = j.untold && j.frame == 0 && !slices.Contains(j.done, true)
}

// frames returns the frames of the recording.
func (j *job) frames() int { return max(1, int(math.Round(j.seconds*framesPerSecond))) }

// task is what the scheduler of a worker knows of a job: all of it, or one window of its speech.
type task struct {
	job   *job
	id    asr.TaskID
	first bool // it reads the sound

	frame  int // where the window begins, in the recording
	window int // its number
	tokens int // of the text before it

	steps   []int // of each attempt at the window
	attempt int
	left    int  // steps of the attempt
	rows    int  // hypotheses in the batch
	fed     bool // what it begins with
}

// finished reports whether there is no window left.
func (t *task) finished(p *prices) bool { return t.frame >= t.end(p) }

// end returns the frame behind the task.
func (t *task) end(p *prices) int {
	n := t.job.frames()
	if t.job.speech {
		n = min(n, (t.window+1)*p.WindowFrames)
	}
	return n
}

// size returns the frames of sound in the window.
func (t *task) size(p *prices) int { return min(t.end(p)-t.frame, p.WindowFrames) }

// encodeFrames returns the frames of what is encoded next: the window, or what its language is detected from.
func (t *task) encodeFrames(p *prices) int {
	switch {
	case !p.Unpadded:
		return p.WindowFrames
	case t.job.detect && !t.job.speech:
		return min(p.WindowFrames, t.job.frames())
	}
	return t.size(p)
}

// ofWindow reports whether the language is detected from the window itself: where that is whole, or needs no padding.
func (t *task) ofWindow(p *prices) bool {
	return t.frame == 0 && (p.Unpadded || t.size(p) == p.WindowFrames)
}

// prompt returns the tokens of the text before it that the window is fed when it enters: half of the context at most, behind
// <|startofprev|>.
func (t *task) prompt(p *prices) int {
	if t.tokens == 0 {
		return 0
	}
	return 1 + min(t.tokens, p.TextContext/2-1)
}
