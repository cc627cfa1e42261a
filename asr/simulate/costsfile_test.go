package simulate

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestCompactLists(t *testing.T) {
	costs := Costs{Version: 1, Models: []*Model{{
		Name: "a, b", Encode: []EncodeCost{{Frames: 1, Seconds: 2, More: 3}, {Frames: 2}},
		Text: Text{Windows: []Spoken{{Seconds: 1, Steps: []int{4, 5}}}}, Adapters: &Adapters{Kind: "flora", Languages: []string{"cs", "fi"}},
	}}}
	text, err := json.MarshalIndent(costs, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	compact := string(compactLists(text))
	var again Costs
	if err := json.Unmarshal([]byte(compact), &again); err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(costs)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := json.Marshal(again); err != nil || string(other) != string(plain) {
		t.Errorf("%v: %s became %s", err, plain, other)
	}
	for _, want := range []string{
		"\n    {\"frames\": 1, \"seconds\": 2, \"more\": 3},\n", "\n     {\"seconds\": 1, \"steps\": [4, 5]}\n", `"languages": ["cs", "fi"]}`,
	} {
		if !strings.Contains(compact, want) {
			t.Errorf("no %q in %s", want, compact)
		}
	}
}
