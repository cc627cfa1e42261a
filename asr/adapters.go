package asr

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"glossa/flora"
)

// LoadAdapter gives a name to an adapter, for requests from now on; those that have begun keep what they
// have. The adapter must not be changed any more. The errors are ErrInvalid, which wraps what is wrong
// with it or the name.
func (e *Engine) LoadAdapter(name string, a *flora.Adapter) (flora.AdapterInfo, error) {
	return e.loaded(name, func() (string, error) { return e.bank.Load(name, a) })
}

// LoadAdapterDir is LoadAdapter of a PEFT directory, which is opened, and may be again. Where it cannot
// be, the adapter that the name has stays.
func (e *Engine) LoadAdapterDir(name, dir string) (flora.AdapterInfo, error) {
	return e.loaded(name, func() (string, error) { return e.bank.LoadDir(name, dir) })
}

func (e *Engine) loaded(name string, load func() (string, error)) (flora.AdapterInfo, error) {
	hash, err := load()
	if err != nil {
		return flora.AdapterInfo{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	i, err := e.bank.Stat(name)
	if err != nil || i.Hash != hash {
		return i, fmt.Errorf("%w: adapter %s was replaced or unloaded meanwhile", ErrNotFound, name)
	}
	return i, nil
}

// RegisterAdapter gives a name to a PEFT directory that is opened when a request first needs it. What is
// wrong with it, is that request's ErrInternal.
func (e *Engine) RegisterAdapter(name, dir string) error {
	if err := e.bank.Register(name, dir); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// UnloadAdapter takes a name away: new requests for it are refused, those that have begun go on. The
// error is ErrNotFound.
func (e *Engine) UnloadAdapter(name string) error {
	if err := e.bank.Unload(name); err != nil {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return nil
}

// WatchAdapters loads, replaces and unloads adapters as the subfolders of dir come, change and go, until
// ctx is done, whose error it returns: see [flora.Bank.WatchDir].
func (e *Engine) WatchAdapters(ctx context.Context, dir string, o flora.WatchOptions) error {
	return e.bank.WatchDir(ctx, dir, o)
}

// Adapters tells of all adapters, in the order of their names, and last of versions that have no name
// any more and are there for requests that have begun.
func (e *Engine) Adapters() []flora.AdapterInfo { return e.bank.List() }

// Adapter tells of the adapter of a name. The error is ErrNotFound.
func (e *Engine) Adapter(name string) (flora.AdapterInfo, error) {
	i, err := e.bank.Stat(name)
	if err != nil {
		return i, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return i, nil
}

// AdapterOf returns the name of the adapter that Auto takes for a language where the client has no say,
// "" for the base model.
func (e *Engine) AdapterOf(language string) string { return e.routes.of("", language, e.bank.Has) }

// adapterFor returns the name of the adapter of a request's windows in a language, "" for the base model.
func (e *Engine) adapterFor(q *Request, language string) string {
	switch q.Adapter {
	case None:
		return ""
	case "", Auto:
		return e.routes.of(q.Client, language, e.bank.Has)
	}
	return q.Adapter
}

// pinFirst pins the adapter that a request is sure to need, as far as it tells, so that it has the
// version of now. The error is ErrNotFound.
func (e *Engine) pinFirst(j *job, r *recording) error {
	q := &r.request
	if named := q.Adapter != "" && q.Adapter != Auto && q.Adapter != None; !named && r.result.Language == "" {
		return nil
	} else if name, _, _ := strings.Cut(q.Adapter, "@"); named && !e.routes.mayName(q.Client, name) {
		return fmt.Errorf("%w: %w: %q", ErrNotFound, flora.ErrUnknown, q.Adapter)
	}
	if r.result.Language == "" {
		_, err := e.pin(j, q.Adapter)
		return err
	}
	_, err := e.pinFor(j, r, r.result.Language)
	return err
}

// pinFor returns the version of the adapter that the windows of a job in a language have from the first of them on, nil of the base
// model. The error is that of pin.
func (e *Engine) pinFor(j *job, r *recording, language string) (*flora.Pin, error) {
	name, ok := j.routes[language]
	if !ok {
		name = e.adapterFor(&r.request, language)
		j.choose(language, name)
	}
	return e.pin(j, name)
}

// choose notes what the adapter of a job's windows in a language is called.
func (j *job) choose(language, name string) {
	if j.routes == nil {
		j.routes = make(map[string]string)
	}
	j.routes[language] = name
}

// pin returns the version of an adapter that a job has from its first use on, nil of the base model. The
// error is ErrNotFound, or ErrInvalid of a version that checkpoints were made under.
func (e *Engine) pin(j *job, name string) (*flora.Pin, error) {
	if name == "" || j.pins[name] != nil {
		return j.pins[name], nil
	}
	version := name
	if hash := j.versions[name]; hash != "" {
		short, _, _ := strings.Cut(name, "@")
		version = short + "@" + hash
	}
	p, err := e.bank.Pin(version)
	if err != nil {
		return nil, j.lacks(name, err)
	}
	if j.pins == nil {
		j.pins = make(map[string]*flora.Pin)
	}
	j.pins[name] = p
	return p, nil
}

// lacks returns the error of an adapter that is not there.
func (j *job) lacks(name string, err error) error {
	if j.versions[name] != "" {
		return fmt.Errorf("%w: the checkpoints are of an adapter that is not there any more: %w", ErrInvalid, err)
	}
	return fmt.Errorf("%w: %w", ErrNotFound, err)
}

// route finds the adapter of a window whose language is known. !ok where that is not in memory yet, or
// there is none, which is the recording's error.
func (e *Engine) route(r *recording) (ok bool) {
	w := &r.window
	if !w.routed {
		var err error
		if w.pin, err = e.pinFor(r.job, r, w.language); err != nil {
			r.result.Err = err
			return false
		}
		w.routed = true
	}
	if w.pin == nil {
		return true
	}
	if ok = w.pin.IsReady(); ok && r.windows == 0 {
		r.result.Adapter, r.result.AdapterHash = w.pin.Name(), w.pin.Hash()
	}
	return ok
}

// seat gives the adapter of a window an index on the window's device. !ok where it is not in memory there. The error is
// that of the device.
func (r *recording) seat() (ok bool, err error) {
	w := &r.window
	if w.pin == nil {
		return true, nil
	}
	w.adapter, ok, err = w.pin.IndexIn(r.on.number)
	return ok, err
}

// bring brings the adapter of a window into memory, on a goroutine of its own.
func (e *Engine) bring(r *recording) {
	pin := r.window.pin
	go func() {
		err := pin.Ready()
		e.send(func() { e.adapted(r, err) })
	}()
}

// adapted goes on with a recording whose adapter is there, or cannot be.
func (e *Engine) adapted(r *recording, err error) {
	if r.job.ended {
		e.scheduler.Apply(Outcome{Task: r.task, Next: Nothing})
		return
	}
	if bad := (*flora.BatchError)(nil); errors.As(err, &bad) && lost(err) && e.scheduler.InService() > 1 {
		e.lose(e.stations[bad.Batch], err)
		e.bring(r)
		return
	}
	if err != nil {
		r.result.Err = fmt.Errorf("%w: %w", ErrInternal, err)
		if errors.Is(err, flora.ErrUnknown) {
			r.result.Err = r.job.lacks(r.job.routes[r.window.language], err)
		}
	}
	e.scheduler.Apply(e.nextWindow(r))
}

// prefetch begins to bring in what a job has pinned, while its sound is read.
func (j *job) prefetch() {
	for _, p := range j.pins {
		if !p.IsReady() {
			go p.Ready() // what it returns, the window will be told
		}
	}
}

// unpin lets the adapters of a job go, none of whose windows is left.
func (j *job) unpin() {
	for _, p := range j.pins {
		p.Release()
	}
	j.pins = nil
}

// Allows reports whether the requests of a client may name an adapter, be it there or not: see [Routes].
func (e *Engine) Allows(client, adapter string) bool { return e.routes.mayName(client, adapter) }
