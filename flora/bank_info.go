package flora

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Tier says how far from use an adapter is.
type Tier string

// The tiers. What the executor keeps for an adapter on the device beyond its factors, merged weights
// among it, is counted there.
const (
	OnDisk   Tier = "disk"   // known by its directory, which is opened when it is asked for
	OnHost   Tier = "host"   // its factors are in memory
	OnDevice Tier = "device" // it has an index in the batch
)

// AdapterInfo tells of an adapter in a bank.
type AdapterInfo struct {
	Name     string    `json:"name"`
	Hash     string    `json:"hash,omitempty"` // of the content, "" until it was opened once
	Kind     Kind      `json:"kind,omitempty"`
	Rank     int       `json:"rank,omitempty"`
	Base     string    `json:"base,omitempty"`
	Tier     Tier      `json:"tier"`
	Bytes    int64     `json:"bytes"`    // of memory, in all tiers
	Pins     int       `json:"pins"`     // requests that hold it now
	Requests int64     `json:"requests"` // that have asked for the name
	LastUsed time.Time `json:"last_used,omitzero"`
	Kept     bool      `json:"kept,omitempty"`    // never goes down by a tier
	Retired  bool      `json:"retired,omitempty"` // its name is another's or nobody's: it is there for its pins
	Dir      string    `json:"-"`                 // where it comes from, "" for one that came from memory
}

// Stat tells of the adapter of a name. The error is ErrUnknown.
func (b *Bank) Stat(name string) (AdapterInfo, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.names[name]
	if a == nil {
		return AdapterInfo{}, fmt.Errorf("%w: %q", ErrUnknown, name)
	}
	return a.info(name), nil
}

// List tells of all adapters, in the order of their names, those that are there for their pins alone
// last.
func (b *Bank) List() []AdapterInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]AdapterInfo, 0, len(b.names))
	for name, a := range b.names {
		list = append(list, a.info(name))
	}
	for v := range b.versions {
		if v.names == 0 {
			i := v.info()
			i.Name, i.Retired = v.name, true
			list = append(list, i)
		}
	}
	retired := func(i AdapterInfo) int {
		if i.Retired {
			return 1
		}
		return 0
	}
	slices.SortFunc(list, func(x, y AdapterInfo) int {
		return cmp.Or(retired(x)-retired(y), strings.Compare(x.Name, y.Name), strings.Compare(x.Hash, y.Hash))
	})
	return list
}

// BankStats counts what a bank holds and has done.
type BankStats struct {
	Bytes    int64 `json:"bytes"`     // of all adapters
	Names    int   `json:"names"`     // of adapters
	Versions int   `json:"versions"`  // contents, those without a name included
	OnHost   int   `json:"on_host"`   // of them
	OnDevice int   `json:"on_device"` // of them
	Opened   int64 `json:"opened"`    // directories, ever
	Lowered  int64 `json:"lowered"`   // adapters by a tier, for the budget, ever
}

// Stats returns the counts.
func (b *Bank) Stats() BankStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stats
	s.Bytes, s.Names, s.Versions = b.bytes(), len(b.names), len(b.versions)
	for v := range b.versions {
		switch v.tier() {
		case OnHost:
			s.OnHost++
		case OnDevice:
			s.OnDevice++
		}
	}
	return s
}

func (a *alias) info(name string) AdapterInfo {
	i := a.version.info()
	i.Name, i.Requests, i.LastUsed = name, a.requests, a.lastUsed
	return i
}

func (v *version) info() AdapterInfo {
	return AdapterInfo{Hash: v.hash, Kind: v.kind, Rank: v.rank, Base: v.base, Tier: v.tier(), Bytes: v.bytes(), Pins: v.pins, Kept: v.kept, Dir: v.origin.dir}
}

func (v *version) tier() Tier {
	switch {
	case v.inBatch():
		return OnDevice
	case v.adapter != nil:
		return OnHost
	}
	return OnDisk
}
