package whisper

import "testing"

func TestLanguageCodeTakesCodesNamesAndAliases(t *testing.T) {
	for in, want := range map[string]string{
		"en": "en", "EN": "en", "German": "de", " haitian creole ": "ht", "Haitian": "ht", "castilian": "es", "mandarin": "zh",
		"cantonese": "yue", "yue": "yue", "jw": "jw", "javanese": "jw",
	} {
		if got, ok := LanguageCode(in); !ok || got != want {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "xx", "klingon", "<|en|>"} {
		if got, ok := LanguageCode(in); ok {
			t.Errorf("%q: %q, want none", in, got)
		}
	}
	for alias, code := range aliases {
		if LanguageName(code) == code {
			t.Errorf("alias %q leads to %q, which is no language", alias, code)
		}
	}
}

func TestLanguagesAreDistinctAndInUpstreamsOrder(t *testing.T) {
	all := Languages()
	seen := map[string]bool{}
	for _, l := range all {
		if seen[l.Code] || seen[l.Name] {
			t.Errorf("%v is there twice", l)
		}
		seen[l.Code], seen[l.Name] = true, true
	}
	if len(all) != 100 || all[0].Code != "en" || all[98].Code != "su" || all[99].Code != "yue" {
		t.Errorf("%d languages, first %v, last %v", len(all), all[0], all[len(all)-1])
	}
	all[0].Code = "changed"
	if Languages()[0].Code != "en" {
		t.Error("the caller can change the table")
	}
}
