//go:build cuda && linux

package driver

// #include "operation.h"
import "C"

import (
	"errors"
	"hash/maphash"
	"os"
	"slices"
)

// graphs are the lists that were captured, and the hashes of those that were seen once. Of the graphs, those last used are kept.
type graphs struct {
	seed  maphash.Seed
	known map[uint64]*graph
	tick  uint64
	once  [256]uint64 // hashes, the newest at next-1
	next  int
	off   bool
}

// graph is a list that was captured. exec is nil where the driver could not.
type graph struct {
	words []uint64
	exec  C.CUgraphExec
	used  uint64 // tick
}

// maxGraphs is how many graphs are kept.
const maxGraphs = 48

// init reads GLOSSA_CUDA_NO_GRAPHS: if not empty, all lists are run plainly.
func (g *graphs) init() {
	g.seed = maphash.MakeSeed()
	g.known = make(map[uint64]*graph)
	g.off = os.Getenv("GLOSSA_CUDA_NO_GRAPHS") != ""
}

// runGraph runs a list by its graph, which it makes where the list comes for the second time. On the device's thread.
func (d *Device) runGraph(l *List) error {
	g := &d.graphs
	if g.off {
		return d.runPlainly(l)
	}
	hash := maphash.Bytes(g.seed, bytesOf(l.words))
	e := g.known[hash]
	if e != nil && !slices.Equal(e.words, l.words) { // two lists of one hash
		return d.runPlainly(l)
	}
	if e == nil {
		if !g.again(hash) {
			return d.runPlainly(l)
		}
		var err error
		if e, err = d.capture(l, hash); err != nil {
			return err
		}
	}
	g.tick++
	e.used = g.tick
	if e.exec == nil {
		d.count(func(s *Stats) { s.Uncaptured++ })
		return d.runPlainly(l)
	}
	d.count(func(s *Stats) { s.GraphLaunches++ })
	return result("cuGraphLaunch", int(C.cuGraphLaunch(e.exec, d.cStream())))
}

// again reports whether a list of this hash was seen before, and remembers it.
func (g *graphs) again(hash uint64) bool {
	if slices.Contains(g.once[:], hash) {
		return true
	}
	g.once[g.next] = hash
	g.next = (g.next + 1) % len(g.once)
	return false
}

// capture makes a graph of a list. Only a fault that the device does not survive is an error.
func (d *Device) capture(l *List, hash uint64) (*graph, error) {
	g := &d.graphs
	if len(g.known) >= maxGraphs {
		if err := d.evict(); err != nil {
			return nil, err
		}
	}
	e := &graph{words: slices.Clone(l.words)}
	f := C.capture_words((*C.uint64_t)(&l.words[0]), C.size_t(len(l.words)), d.cStream(), &d.blas, &e.exec)
	switch err := d.failure(f, l.words); {
	case errors.Is(err, ErrLost):
		return nil, err
	case err != nil:
		d.count(func(s *Stats) { s.Uncapturable = err.Error() })
	case e.exec != nil:
		d.count(func(s *Stats) { s.Captures++ })
	}
	g.known[hash] = e
	return e, nil
}

// evict gives up the graph that was not used for longest.
func (d *Device) evict() error {
	g := &d.graphs
	var oldest uint64
	for hash, e := range g.known {
		if o := g.known[oldest]; o == nil || e.used < o.used {
			oldest = hash
		}
	}
	e := g.known[oldest]
	delete(g.known, oldest)
	d.count(func(s *Stats) { s.Evictions++ })
	if e.exec == nil {
		return nil
	}
	if err := d.wait(); err != nil { // it may still run
		return err
	}
	return result("cuGraphExecDestroy", int(C.cuGraphExecDestroy(e.exec)))
}

// clear gives up all graphs.
func (g *graphs) clear() {
	for _, e := range g.known {
		if e.exec != nil {
			C.cuGraphExecDestroy(e.exec)
		}
	}
	clear(g.known)
}
