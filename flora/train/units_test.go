package train

import (
	"slices"
	"testing"
)

func TestSpeller(t *testing.T) {
	d := &dataset{pools: []*pool{{entries: []entry{{text: "ba c"}, {text: "éa"}}}, {entries: []entry{{text: "क"}}}}}
	tokens := []int32{7, 8}
	s := newSpeller(Tokens, d, 20)
	if got := s.spell("ba", tokens); s.size() != 20 || !slices.Equal(got, tokens) {
		t.Errorf("tokens: %v of %d", got, s.size())
	}
	s = newSpeller(Characters, d, 20)
	if s.size() != 6 {
		t.Errorf("%d characters", s.size())
	}
	// In their order: space a b c é क. What no text has is left out.
	if got, want := s.spell("cab xé", tokens), []int32{3, 1, 2, 0, 4}; !slices.Equal(got, want) {
		t.Errorf("spelt %v, want %v", got, want)
	}
	if got := (speller{}).size(); got != 0 {
		t.Errorf("%d units where there is no CTC", got)
	}
}
