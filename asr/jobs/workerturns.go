package jobs

import (
	"time"

	"glossa/asr"
)

// How long a worker asks for a message before it asks anew.
const (
	longPull  = 10 * time.Second
	briefPull = time.Second // where another line may wait for the same slot
)

// bulkShare is the number of jobs that are not bulk for each that is, while both wait.
const bulkShare = 3

// ask is a request for messages. It holds a slot for each until it is answered, and so does the job behind a message.
type ask struct {
	line int
	n    int           // messages at most
	wait time.Duration // 0: for messages that are there now
}

// line is what turns know of the jobs of one priority.
type line struct {
	priority asr.Priority
	asked    bool // a request for it is out
	empty    bool // no message was left there when it was last asked for
}

// turns decide what a worker asks for next, of one priority or of two that share slots: the first goes before the second, which has
// one turn in four while both wait. A slot is taken before a message is asked for, so that none comes that cannot begin; what has become free
// meanwhile is asked for at once. They know nothing of time or of a broker.
type turns struct {
	lines []line
	free  int  // slots
	quick bool // what is there now is being asked for
	since int  // jobs of the first line that have begun since the second had its turn
}

func newTurns(slots int, of ...asr.Priority) *turns {
	t := &turns{free: slots}
	for _, p := range of {
		t.lines = append(t.lines, line{priority: p})
	}
	return t
}

// next returns what is to be asked for now. !ok: nothing, until something ends.
func (t *turns) next() (a ask, ok bool) {
	if t.free == 0 || t.quick {
		return ask{}, false
	}
	if i := t.waiting(); i >= 0 {
		t.quick = true
		return t.take(ask{line: i, n: t.share(i)}), true
	}
	for i := range t.lines {
		if t.lines[i].asked {
			continue
		}
		wait := longPull
		if len(t.lines) > 1 && t.free == 1 {
			wait = briefPull
		}
		return t.take(ask{line: i, n: 1, wait: wait}), true
	}
	return ask{}, false
}

func (t *turns) take(a ask) ask {
	t.free -= a.n
	t.lines[a.line].asked = true
	return a
}

// share returns how many messages of a line are asked for at a time: all that there are slots for, or up to the turn of the other line, where
// something may wait there.
func (t *turns) share(i int) int {
	switch {
	case len(t.lines) == 1 || t.lines[1-i].empty:
		return t.free
	case i > 0:
		return 1
	default:
		return min(t.free, max(bulkShare-t.since, 1))
	}
}

// waiting returns the line whose turn it is of those in which a message may wait, -1 where there is none.
func (t *turns) waiting() int {
	may := func(i int) bool { return !t.lines[i].asked && !t.lines[i].empty }
	if len(t.lines) > 1 && t.since >= bulkShare && may(1) {
		return 1
	}
	for i := range t.lines {
		if may(i) {
			return i
		}
	}
	return -1
}

// answered takes the answer to a request: the number of messages, whose jobs then have the slots.
func (t *turns) answered(a ask, got int) {
	if a.wait == 0 {
		t.quick = false
	}
	t.free += a.n - got
	t.lines[a.line].asked = false
	if a.line > 0 {
		t.since = 0
	} else {
		t.since += got
	}
	for i := range t.lines {
		l := &t.lines[i]
		switch {
		case i == a.line:
			l.empty = got < a.n
		case a.wait > 0 || a.line > 0 && got > 0 || t.since >= bulkShare:
			l.empty = false // so long ago that it was looked at
		}
	}
}

// ended takes the end of a job, and its slot.
func (t *turns) ended() { t.free++ }
