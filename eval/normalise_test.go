package eval

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

func TestNormalise(t *testing.T) {
	for _, c := range []struct{ name, lang, text, want string }{
		{"empty", "en", "", ""},
		{"only punctuation", "en", " ...?! ", ""},
		{"case and punctuation", "en", "Hello, World!", "hello world"},
		{"apostrophe is a space", "en", "Don't", "don t"},
		{"apostrophes are one", "en", "don’t", "don t"},
		{"spacing accent as apostrophe", "en", "John´s", "john s"},
		{"letter apostrophe", "uk", "П’ять пʼять", "п ять п ять"},
		{"square brackets", "en", "yes [laughter] no", "yes no"},
		{"angle brackets", "en", "<unk> yes", "yes"},
		{"parentheses", "en", "yes (inaudible) no", "yes no"},
		{"within a word, as upstream", "en", "colo(u)r", "color"},
		{"empty parentheses", "en", "a()b", "a b"},
		{"full-width parentheses", "ja", "はい（笑）いいえ", "はいいいえ"},
		{"unbalanced", "en", "a ) b ( c", "a b c"},
		{"dashes", "en", "twenty-one – or so", "twenty one or so"},
		{"currency and symbols", "en", "€5 + 5%", "5 5"},
		{"compatibility forms", "en", "ﬁve ｗｉｄｅ ²", "five wide 2"},
		{"capital made by NFKC", "en", "ℍello", "hello"},
		{"composed equals decomposed", "cs", "Pr\u030ci\u0301lis\u030c", "příliš"},
		{"white space", "en", "\ta\u00A0b\u3000c\r\nd ", "a b c d"},
		{"vowel signs stay", "hi", "नमस्ते, दुनिया।", "नमस्ते दुनिया"},
		{"Arabic vowels stay", "ar", "كِتَابٌ؟", "كِتَابٌ"},
		{"Thai marks stay", "th", "ที่นี่", "ที่นี่"},
		{"German sharp s stays", "de", "STRAẞE Straße", "straße straße"},
		{"Greek final sigma", "el", "ΟΔΟΣ", "οδος"},
		{"Turkish", "tr", "ISPARTA İzmir", "ısparta izmir"},
		{"Azerbaijani with a region", "az-AZ", "Iİ", "ıi"},
		{"the same letters elsewhere", "en", "ISPARTA", "isparta"},
		{"Lithuanian capital as small letter", "lt", "Ì ì Į", "ì ì į"},
		{"joiners", "hi", "क्\u200Dष", "क्ष"},
		{"joiner between letter and mark", "fr", "e\u200D\u0301", "é"},
		{"soft hyphen, byte order mark, direction", "en", "\uFEFFso\u00ADft\u200F", "soft"},
		{"zero-width space", "km", "ខ្ញុំ\u200Bទៅ", "ខ្ញុំ ទៅ"},
		{"emoji with variation selector", "en", "I ❤\uFE0F you", "i you"},
		{"joined emoji", "en", "ok 👩\u200D👩\u200D👧", "ok"},
		{"not UTF-8", "en", "a\xffb", "a b"},
		{"control", "en", "a\x00b", "a b"},
	} {
		if got := Normalise(c.text, c.lang); got != c.want {
			t.Errorf("%s: Normalise(%q, %q) = %q, want %q", c.name, c.text, c.lang, got, c.want)
		}
	}
}

func TestWordsAndCharacters(t *testing.T) {
	for _, c := range []struct {
		lang, text string
		words      []string
		characters string
	}{
		{"en", "a bc d", []string{"a", "bc", "d"}, "a bc d"},
		{"en", "", nil, ""},
		{"zh", "你好 世界", []string{"你", "好", "世", "界"}, "你好世界"},
		{"zh-TW", "你好", []string{"你", "好"}, "你好"},
		{"YUE", "你好", []string{"你", "好"}, "你好"},
		{"th", "ที่นี่", []string{"ที่", "นี่"}, "ที่นี่"},
		{"ja", "今日はー々", []string{"今", "日", "は", "ー", "々"}, "今日はー々"},
		{"ja", "か\u3099き", []string{"か\u3099", "き"}, "か\u3099き"},
		{"lo", "ພາສາ ລາວ", []string{"ພ", "າ", "ສ", "າ", "ລ", "າ", "ວ"}, "ພາສາລາວ"},
		{"my", "မြန်မာ", []string{"မြ", "န်", "မာ"}, "မြန်မာ"},
		{"km", "ខ្ញុំ ទៅ", []string{"ខ្", "ញុំ", "ទៅ"}, "ខ្ញុំទៅ"},
		{"cmn-Hans", "你好", []string{"你", "好"}, "你好"},
		{"zh", "我用iphone 15 pro打кафе", []string{"我", "用", "iphone", "15", "pro", "打", "кафе"}, "我用iphone15pro打кафе"},
		{"th", "๑๒ cafe\u0301ก", []string{"๑", "๒", "cafe\u0301", "ก"}, "๑๒cafe\u0301ก"},
		{"ko", "안녕 하세요", []string{"안녕", "하세요"}, "안녕 하세요"},
	} {
		if got := Words(c.text, c.lang); !slices.Equal(got, c.words) {
			t.Errorf("Words(%q, %q) = %q, want %q", c.text, c.lang, got, c.words)
		}
		if got := string(Characters(c.text, c.lang)); got != c.characters {
			t.Errorf("Characters(%q, %q) = %q, want %q", c.text, c.lang, got, c.characters)
		}
	}
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{"Hello, [World]!", "नमस्ते, दुनिया।", "ΟΔΟΣ", "Iİ", "e\u200D\u0301", "\xff(", "⑴㈱½", "a\u0345\u0301", "가\u11A8"} {
		f.Add(s, "en")
		f.Add(s, "tr")
	}
	f.Fuzz(func(t *testing.T, text, lang string) {
		got := Normalise(text, lang)
		if again := Normalise(got, lang); again != got {
			t.Errorf("Normalise(%q, %q) = %q, and of that %q", text, lang, got, again)
		}
		if !norm.NFKC.IsNormalString(got) {
			t.Errorf("Normalise(%q, %q) = %q is not NFKC", text, lang, got)
		}
		if i := strings.IndexFunc(got, func(r rune) bool { return r != ' ' && separates(r) || invisible(r) }); i >= 0 {
			t.Errorf("Normalise(%q, %q) = %q keeps a separator at byte %d", text, lang, got, i)
		}
		words := Words(got, lang)
		for _, w := range words {
			if w == "" || strings.IndexFunc(w, unicode.IsMark) == 0 {
				t.Errorf("Words(%q, %q) holds %q", got, lang, w)
			}
		}
		if joined := strings.Join(words, ""); joined != strings.ReplaceAll(got, " ", "") {
			t.Errorf("Words(%q, %q) = %q loses text", got, lang, words)
		}
	})
}
