package simulate

import "time"

// stats are what a run is counted by.
type stats struct {
	now, last time.Duration // of the last event, and of the last recording that left
	arrived   int64
	there     int64   // recordings that have come and not left
	area      float64 // of that over time, recording-seconds

	backlog, backlogMost             int64 // recordings of which nothing was encoded
	backlogSeconds, backlogSoundMost float64

	waited, took [3]histogram // by index of priority
	served       [3]int64
	sound        float64 // seconds of what was served
	refused      int64
	dead         int64
	redelivered  int64
	failures     int64
	brought      int64 // adapters

	busy                  float64 // seconds of all devices
	encodes, encoded      int64   // batches, and windows in them
	steps, rows, adapters int64
	windows, again        int64

	late []late // of a search
}

// pass lets time pass.
func (s *stats) pass(now time.Duration) {
	s.area += (now - s.now).Seconds() * float64(s.there)
	s.now = now
}

func (s *stats) arrive(j *job) {
	s.arrived++
	s.there++
	s.backlog++
	s.backlogSeconds += j.seconds
	s.backlogMost, s.backlogSoundMost = max(s.backlogMost, s.backlog), max(s.backlogSoundMost, s.backlogSeconds)
}

// begin counts a recording no longer as one that waits.
func (s *stats) begin(now time.Duration, j *job) {
	s.waited[j.rank()].add((now - j.came).Seconds())
	s.unqueue(j)
}

func (s *stats) unqueue(j *job) {
	s.backlog--
	s.backlogSeconds -= j.seconds
}

func (s *stats) leave(now time.Duration, j *job) {
	s.there--
	s.last = now
	i := j.rank()
	s.took[i].add((now - j.came).Seconds())
	s.served[i]++
	s.sound += j.seconds
	for i := range s.late {
		if l := &s.late[i]; l.of(j) && now-j.came > l.Within {
			l.late++
		}
	}
}

// lost counts a recording without a result as late.
func (s *stats) lost(j *job) {
	for i := range s.late {
		if l := &s.late[i]; l.of(j) {
			l.late++
		}
	}
}

func (s *stats) refuse(now time.Duration, j *job) {
	s.there--
	s.last = now
	s.refused++
	s.unqueue(j)
	s.lost(j)
}

// giveUp counts a recording that was delivered too often.
func (s *stats) giveUp(j *job) {
	s.there--
	s.dead++
	s.lost(j)
	if !j.begun {
		s.unqueue(j)
	}
}
