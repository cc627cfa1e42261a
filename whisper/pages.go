package whisper

import "glossa/whisper/tensor"

// page is device memory for the keys and values of [tensor.PageRows] tokens, of all layers: the keys
// (PageRows, nState) of the first, its values, the keys of the second … Caches of hypotheses with the same
// beginning share pages that are full.
type page struct {
	memory *tensor.Memory
	users  int
}

// pagePool holds the pages that caches have left.
type pagePool struct{ free []*page }

// take returns a page of n numbers on the backend of o, with one user. The error wraps tensor.ErrMemory.
func (p *pagePool) take(o *tensor.Ops, n int) (*page, error) {
	if last := len(p.free) - 1; last >= 0 {
		g := p.free[last]
		p.free = p.free[:last]
		g.users = 1
		return g, nil
	}
	m, err := tensor.NewMemory(o.Backend(), n)
	if err != nil {
		return nil, err
	}
	return &page{memory: m, users: 1}, nil
}

// leave takes a page back from one of its users.
func (p *pagePool) leave(g *page) {
	if g.users--; g.users == 0 {
		p.free = append(p.free, g)
	}
}

// trim gives back the memory of the pages that no cache has.
func (p *pagePool) trim() {
	for _, g := range p.free {
		g.memory.Free()
	}
	p.free = nil
}

// pagedRows are the keys and values of a sequence in pages.
type pagedRows struct {
	pool    *pagePool
	pages   []*page
	address []uintptr // of pages
}

// reserve makes room for n rows, in pages of size numbers.
func (r *pagedRows) reserve(o *tensor.Ops, n, size int) error {
	for len(r.pages)*tensor.PageRows < n {
		g, err := r.pool.take(o, size)
		if err != nil {
			return err
		}
		r.add(g)
	}
	return nil
}

func (r *pagedRows) add(g *page) {
	r.pages, r.address = append(r.pages, g), append(r.address, g.memory.Address())
}

// truncate leaves the pages that lie behind n rows.
func (r *pagedRows) truncate(n int) {
	keep := (n + tensor.PageRows - 1) / tensor.PageRows
	for i := keep; i < len(r.pages); i++ {
		r.pool.leave(r.pages[i])
		r.pages[i] = nil
	}
	keep = min(keep, len(r.pages))
	r.pages, r.address = r.pages[:keep], r.address[:keep]
}

// copyFrom shares the full pages of another sequence, and copies the last where it is not full.
func (r *pagedRows) copyFrom(o *tensor.Ops, other *Cache) error {
	full := other.rows / tensor.PageRows
	for _, g := range other.paged.pages[:full] {
		g.users++
		r.add(g)
	}
	if other.rows%tensor.PageRows == 0 {
		return nil
	}
	last := other.paged.pages[full].memory
	g, err := r.pool.take(o, last.Len())
	if err != nil {
		return err
	}
	r.add(g)
	o.CopyTo(g.memory.Mat(0, 1, last.Len()), last.Mat(0, 1, last.Len()))
	return nil
}

// extendPages appends the rows of k and v to the pages of the sequences, and sets kv to all rows so far.
func (s *Step) extendPages(layer int, k, v tensor.Mat, kv []tensor.KeyValue) {
	const float = 4
	part := uintptr(float * tensor.PageRows * k.Cols) // bytes of the keys, or the values, of a layer in a page
	keys, row := part*uintptr(2*layer), uintptr(float*k.Cols)
	s.rowAddress = s.rowAddress[:0]
	for i, c := range s.Cache {
		from, to := s.Seg.Range(i)
		n := c.rows + to - from
		if err := c.paged.reserve(s.Ops, n, 2*len(c.layer)*tensor.PageRows*c.nState); err != nil {
			s.Fail(err)
		}
		kv[i] = tensor.KeyValue{Paged: tensor.PagedKV{Rows: n, Cols: k.Cols, Page: c.paged.address, Keys: keys, Values: keys + part}}
		for at := c.rows; at < n && at/tensor.PageRows < len(c.paged.address); at++ {
			s.rowAddress = append(s.rowAddress, c.paged.address[at/tensor.PageRows]+keys+row*uintptr(at%tensor.PageRows))
		}
	}
	if len(s.rowAddress) < k.Rows {
		return // there was no memory, and nothing is computed
	}
	s.CopyRows(s.rowAddress, k)
	for i := range s.rowAddress {
		s.rowAddress[i] += part
	}
	s.CopyRows(s.rowAddress, v)
}
