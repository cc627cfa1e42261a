package main

import (
	"testing"

	"glossa/asr"
	"glossa/asr/ws"
)

// updatedSession remembers the adapter of its last update.
type updatedSession struct {
	ws.Session
	adapter string
}

func (s *updatedSession) Update(o asr.ListenOptions) error {
	s.adapter = o.Adapter
	return nil
}

// TestUpdatesKeepTheServersAdapter checks that --adapter holds for options of live sessions that name none, changed ones too.
func TestUpdatesKeepTheServersAdapter(t *testing.T) {
	inner := &updatedSession{}
	s := &servedSession{inner, asr.None}
	for named, want := range map[string]string{"": asr.None, "cs": "cs", asr.Auto: asr.Auto} {
		if err := s.Update(asr.ListenOptions{Adapter: named}); err != nil || inner.adapter != want {
			t.Errorf("%q becomes %q, want %q; %v", named, inner.adapter, want, err)
		}
	}
}
