package asr

import (
	"reflect"
	"slices"
	"testing"
	"testing/synctest"

	"glossa/flora"
	"glossa/whisper"
)

// TestDetectionSharesItsPass checks what a recording costs whose language is detected, by what its adapter
// changes, and that its text is what it is where the language is told.
func TestDetectionSharesItsPass(t *testing.T) {
	cross := func(tb testing.TB, m *whisper.Model) *flora.Adapter {
		a := seeded(tb, m, "x", flora.LoRA, flora.All, 3)
		for site := range a.Sites {
			if site.Stack == whisper.EncoderStack {
				delete(a.Sites, site)
			}
		}
		return a
	}
	decoder := func(tb testing.TB, m *whisper.Model) *flora.Adapter {
		a := cross(tb, m)
		for site := range a.Sites {
			if site.Role == whisper.CrossKey || site.Role == whisper.CrossValue {
				delete(a.Sites, site)
			}
		}
		return a
	}
	for _, unpadded := range []bool{false, true} {
		e := newEngine(t, unpadded, Options{Languages: []string{"fr"}, Routes: Routes{Languages: map[string]string{"fr": "x"}}})
		for _, c := range []struct {
			name    string
			adapter *flora.Adapter
			encodes int
		}{
			{"decoder", decoder(t, e.model), 1}, {"keys and values", cross(t, e.model), 1}, {"encoder", seeded(t, e.model, "x", flora.LoRA, flora.All, 3), 2},
		} {
			if _, err := e.LoadAdapter("x", c.adapter); err != nil {
				t.Fatal(err)
			}
			// Several windows of one recording, the first of which is what detection hears.
			told := chirp(300, 2*windowSeconds, Request{Language: "fr", Words: &usual, Timestamps: true})
			detected := told
			detected.Language = ""
			want := transcribe(t, e, told)[0]
			got := transcribe(t, e, chirp(500, 1, Request{Language: "en"}), detected, chirp(400, 1, Request{Adapter: None}))[1]
			got.LanguageProb = 0
			if got.Err != nil || got.Encodes != want.Encodes+c.encodes-1 {
				t.Errorf("unpadded %v, %s: %d encodes, %d where the language is told, %v", unpadded, c.name, got.Encodes, want.Encodes, got.Err)
			}
			got.Encodes = want.Encodes
			if !reflect.DeepEqual(got, want) {
				t.Errorf("unpadded %v, %s:\n%+v, told\n%+v", unpadded, c.name, got, want)
			}
		}
	}
}

// TestSwitchedLanguagesKeepTheirVersions checks that a recording which switches its language has each
// adapter in the version of its first use, whatever is loaded meanwhile.
func TestSwitchedLanguagesKeepTheirVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, d := newFakeEngine(t, Options{Routes: Routes{ByName: true}})
		switching := &switchingDevice{fakeDevice: d, languages: []string{"cs", "de", "cs", "de", "cs"}}
		e.stations[0].device = switching
		load := func(seed uint64) {
			for _, name := range []string{"cs", "de"} {
				if _, err := e.LoadAdapter(name, seeded(t, e.model, name, flora.FLoRA, flora.All, 1000*seed+uint64(name[0]))); err != nil {
					t.Error(err)
				}
			}
		}
		load(1)
		switching.before = func(window int) {
			if window == 3 {
				load(2)
			}
		}
		r, err := e.Transcribe(t.Context(), chirp(300, 5*windowSeconds, Request{SwitchLanguage: true}))
		if err != nil || len(r.Segments) != 5 {
			t.Fatalf("%+v, %v", r, err)
		}
		index := switching.indices
		if index[0] == index[1] || !slices.Equal(index, []int32{index[0], index[1], index[0], index[1], index[0]}) {
			t.Errorf("indices %v", index)
		}
		synctest.Wait()
		if s := e.bank.Stats(); s.Versions != 2 || s.OnDevice != 0 {
			t.Errorf("behind the recording: %+v", s)
		}
	})
}

// switchingDevice hears a language after the other, and notes the adapters of windows.
type switchingDevice struct {
	*fakeDevice
	languages []string
	heard     int
	indices   []int32
	before    func(window int)
}

func (d *switchingDevice) detect(cross []*whisper.CrossKV, _ [][]string) ([]whisper.LanguageProbs, error) {
	d.heard++
	return []whisper.LanguageProbs{{d.languages[d.heard-1]: 1}}, nil
}

func (d *switchingDevice) add(u whisper.Utterance) (int, error) {
	d.indices = append(d.indices, u.Adapter)
	d.before(len(d.indices))
	return d.fakeDevice.add(u)
}
