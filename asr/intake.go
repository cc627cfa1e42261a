package asr

// intake opens requests in their order, each when there is room for it, and delivers the results.
type intake struct {
	engine   *Engine
	requests []Request
	done     func(i int, r *Result)
	next     int
	speech   *parallel // whose windows are not all begun, nil where there is none
}

// take returns the next recording, or window of one that is decoded in parallel; nil where none is
// left. Requests that cannot be served, or hold no speech, are done.
func (in *intake) take() *recording {
	for {
		if p := in.speech; p != nil && !p.begun() {
			return p.begin()
		}
		in.speech = nil
		if in.next == len(in.requests) {
			return nil
		}
		in.next++
		r, err := in.open(in.next - 1)
		switch {
		case err != nil:
			in.done(in.next-1, &Result{Err: err})
		case r != nil:
			return r
		}
	}
}

// open checks a request and reads its recording, which it returns, or leaves in in.speech, or has
// done with where it holds no speech.
func (in *intake) open(index int) (*recording, error) {
	q := in.requests[index]
	r, err := in.engine.begin(index, q)
	if err != nil {
		return nil, err
	}
	pcm, err := q.Audio()
	if err != nil {
		return nil, err
	}
	if q.Speech == nil {
		return r, r.load(pcm)
	}
	p, err := newParallel(r, pcm)
	if err != nil {
		return nil, err
	}
	if len(p.windows) > 0 {
		in.speech = p
		return nil, nil
	}
	in.done(index, p.result())
	return nil, nil
}

// finish delivers the result of a recording, with the last of its windows.
func (in *intake) finish(r *recording) {
	switch p := r.whole; {
	case p == nil:
		r.close()
		in.done(r.index, &r.result)
	case p.finish(r):
		in.done(r.index, p.result())
	}
}
