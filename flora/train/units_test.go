package train

import (
	"slices"
	"testing"
)

func TestSpeller(t *testing.T) {
	d := &dataset{pools: []*pool{{entries: []entry{{text: "ba c"}, {text: "éa"}}}, {entries: []entry{{text: "क"}}}}}
	tokens := []int32{7, 8}
	s := newSpeller(Tokens, d, 20)
	if got, _ := s.spell("ba", tokens, nil); s.size() != 20 || !slices.Equal(got, tokens) {
		t.Errorf("tokens: %v of %d", got, s.size())
	}
	s = newSpeller(Characters, d, 20)
	if s.size() != 6 {
		t.Errorf("%d characters", s.size())
	}
	// In their order: space a b c é क. What no text has is left out.
	if got, _ := s.spell("cab xé", nil, nil); !slices.Equal(got, []int32{3, 1, 2, 0, 4}) {
		t.Errorf("spelt %v", got)
	}
	if got := (speller{}).size(); got != 0 {
		t.Errorf("%d units where there is no CTC", got)
	}
}

func TestSpansOfTokens(t *testing.T) {
	d := &dataset{pools: []*pool{{entries: []entry{{text: "ab é क"}}}}} // space a b é क
	s := newSpeller(Characters, d, 0)
	// The tokens are " ab", " ", half of é, its other half and " ", what is left out, and क.
	lengths := []int{3, 1, 1, 2, 1, 3}
	tokens := []int32{0, 1, 2, 3, 4, 5}
	units, spans := s.spell("ab é xक", tokens, func(id int32) int { return lengths[id] })
	if want := []int32{1, 2, 0, 3, 0, 4}; !slices.Equal(units, want) {
		t.Fatalf("spelt %v, want %v", units, want)
	}
	if want := [][2]int32{{0, 2}, {2, 3}, {3, 4}, {3, 5}, {-1, -1}, {5, 6}}; !slices.Equal(spans, want) {
		t.Errorf("tokens spell %v, want %v", spans, want)
	}
}
