package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Progress tells how far a pull is.
type Progress struct {
	File        string // the one that is downloaded or checked
	Done, Total int64  // bytes of all files
}

// pull is one call of Pull.
type pull struct {
	*Client
	ref    Ref
	commit string
	store  *store
	report func(Progress)
	Progress
}

// Pull brings what r names into the cache, unless it is there already and intact, and calls report with its progress. What an
// earlier pull had begun is resumed. The errors are ErrNotFound, ErrDenied, ErrFiles, ErrServer, ErrChecksum, and those of the
// connection and of the disk.
func (c *Client) Pull(ctx context.Context, r Ref, report func(Progress)) (Item, error) {
	p := &pull{Client: c, ref: r, report: report}
	if err := p.run(ctx); err != nil {
		return Item{}, fmt.Errorf("%s: %w", r, err)
	}
	return c.cache.Find(r)
}

func (p *pull) run(ctx context.Context) error {
	files, err := p.describeAll(ctx)
	if err != nil {
		return err
	}
	if p.store, err = p.cache.open(p.ref.Repo); err != nil {
		return p.cacheError(err)
	}
	defer p.store.Close()
	for _, f := range files {
		p.File = f.name
		if err := p.bring(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	for _, f := range files {
		if err := p.store.link(p.commit, f); err != nil {
			return p.cacheError(err)
		}
	}
	return p.cacheError(p.store.setRef(p.ref.Revision, p.commit))
}

// describeAll finds out which files to pull.
func (p *pull) describeAll(ctx context.Context) (files []remote, err error) {
	var names []string
	if p.commit, names, err = p.list(ctx, p.ref); err != nil {
		return nil, err
	}
	chosen := []string{p.ref.File}
	if p.ref.File == "" {
		if _, chosen = choose(names); len(chosen) == 0 {
			return nil, errFiles(p.ref, names)
		}
	} else if !slices.Contains(names, p.ref.File) {
		return nil, fmt.Errorf("%w: no such file", ErrNotFound)
	}
	for _, name := range chosen {
		f, err := p.describe(ctx, p.ref.Repo, p.commit, name)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
		p.Total += f.size
	}
	return files, nil
}

// cacheError names the cache in an error of the disk.
func (p *pull) cacheError(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("hub: cache %s: %w", p.cache.Dir, err)
}

// tell reports the progress, with n bytes of the current file done.
func (p *pull) tell(n int64) {
	now := p.Progress
	now.Done += n
	p.report(now)
}

// bring makes the blob of f complete.
func (p *pull) bring(ctx context.Context, f remote) error {
	p.tell(0)
	unlock, err := p.store.lock(ctx, f)
	if err != nil {
		return p.cacheError(err)
	}
	defer unlock()
	ok, err := p.store.intact(ctx, f.blob(), f)
	if err != nil {
		return p.cacheError(err)
	}
	for !ok {
		resumed := false
		if info, err := p.store.Stat(f.partial()); err == nil && info.Size() > 0 {
			resumed = true
		}
		if err := p.download(ctx, f); err != nil {
			return err
		}
		if ok, err = p.store.intact(ctx, f.partial(), f); err != nil {
			return p.cacheError(err)
		}
		if ok {
			err = p.store.Rename(f.partial(), f.blob())
		} else {
			err = p.store.Remove(f.partial())
		}
		if err != nil {
			return p.cacheError(err)
		}
		if !ok && !resumed {
			return fmt.Errorf("%w: what came is not of hash %s", ErrChecksum, f.hash)
		}
	}
	p.Done += f.size
	p.tell(0)
	return nil
}

// download appends to the partial blob of f until it has its size.
func (p *pull) download(ctx context.Context, f remote) error {
	out, err := p.store.OpenFile(f.partial(), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return p.cacheError(err)
	}
	defer out.Close()
	var furthest int64
	err = p.retry(ctx, func() (bool, error) {
		at, err := p.receive(ctx, f, out)
		further := at >= furthest+minFurther
		if further {
			furthest = at
		}
		return further, err
	})
	if err != nil {
		return err
	}
	return p.cacheError(out.Sync())
}

// minFurther is how much has to come, in bytes, for a cut connection not to count as a failed try.
const minFurther = 1 << 20

var errStalled = errors.New("hub: no more data came")

// receive appends one answer of the server to out, and returns the size that it has then. A server that ignores ranges is
// taken from the beginning.
//
// The range needs no If-Range: the name of the partial file is the hash that the file is checked against, and the entity tag
// of the host that serves a large file is another.
func (p *pull) receive(ctx context.Context, f remote, out *os.File) (at int64, err error) {
	if at, err = out.Seek(0, io.SeekEnd); err == nil && at > f.size {
		at, err = 0, restart(out)
	}
	if err != nil {
		return at, p.cacheError(err)
	}
	if at == f.size {
		return at, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := p.request(ctx, http.MethodGet, filePath(p.ref.Repo, p.commit, f.name), at)
	if err != nil {
		return at, err
	}
	defer resp.Body.Close()
	begin, err := contentBegin(resp, f.size)
	switch {
	case err != nil:
		return at, err
	case begin == 0 && at > 0:
		if err := restart(out); err != nil {
			return at, p.cacheError(err)
		}
	case begin != at:
		return at, fmt.Errorf("%w: bytes from %d were asked for, and came from %d", ErrServer, at, begin)
	}
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return 0, &temporary{err: fmt.Errorf("%w: %s", ErrServer, resp.Status)}
	}
	stalled := time.AfterFunc(p.stall, func() { cancel(&temporary{err: errStalled}) })
	defer stalled.Stop()
	at = begin
	content := &watched{Reader: io.LimitReader(resp.Body, f.size-begin), came: func(n int) {
		stalled.Reset(p.stall)
		at += int64(n)
		p.tell(at)
	}}
	_, err = io.Copy(out, content)
	switch {
	case content.err != nil:
		return at, p.connectionError(ctx, content.err)
	case err != nil:
		return at, p.cacheError(err)
	case at < f.size:
		return at, &temporary{err: fmt.Errorf("hub: %w: %d of %d bytes", io.ErrUnexpectedEOF, at, f.size)}
	}
	return at, nil
}

// watched tells what is read, and keeps the error of reading apart from that of writing in io.Copy.
type watched struct {
	io.Reader
	came func(n int)
	err  error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.came(n)
	if err != io.EOF {
		w.err = err
	}
	return n, err
}

// restart empties a partial file.
func restart(out *os.File) error {
	if err := out.Truncate(0); err != nil {
		return err
	}
	_, err := out.Seek(0, io.SeekStart)
	return err
}

var contentRange = regexp.MustCompile(`^bytes (\d{1,18})-\d{1,18}/(?:\d{1,18}|\*)$`)

// contentBegin is the offset at which the body of an answer begins in a file of size bytes. It checks the length of the body
// where the answer tells it.
func contentBegin(resp *http.Response, size int64) (begin int64, err error) {
	switch resp.StatusCode {
	case http.StatusRequestedRangeNotSatisfiable:
		return 0, nil
	case http.StatusPartialContent:
		m := contentRange.FindStringSubmatch(resp.Header.Get("Content-Range"))
		if m == nil {
			return 0, fmt.Errorf("%w: Content-Range %q", ErrServer, resp.Header.Get("Content-Range"))
		}
		begin, _ = strconv.ParseInt(m[1], 10, 64) // at most 18 digits
	}
	if n := resp.ContentLength; n >= 0 && begin+n != size {
		return 0, fmt.Errorf("%w: %d bytes of %d come from offset %d", ErrServer, n, size, begin)
	}
	return begin, nil
}
