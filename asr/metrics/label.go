package metrics

import "sync"

// other is the value of a label that has too many already.
const other = "other"

// label bounds the number of values of a label.
type label struct {
	max  int
	mu   sync.Mutex
	seen map[string]bool
}

func newLabel(max int) *label { return &label{max: max, seen: make(map[string]bool)} }

// value returns v, or other where there are as many values as may be and v is none of them.
func (l *label) value(v string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen[v] {
		return v
	}
	if len(l.seen) >= l.max {
		return other
	}
	l.seen[v] = true
	return v
}
