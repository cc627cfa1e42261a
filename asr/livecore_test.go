package asr

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"glossa/whisper"
)

// TestLiveTranscripts runs the transcripts of testdata/live: comments, then commands behind which stands, after ----, what they come to.
// Times are frames of 10 ms.
//
//	options policy=alignatt step=30 max-buffer=900 language=en no-partials words conditioned ctx=448   begins anew
//	sound N                        so many frames have come
//	start N, end N                 speech starts, ends
//	finalize, close
//	update language=de …
//	hear [LANGUAGE[=PROB]] [loops] [unsure] WORD@START-END[@ATTENDED] …   the answer to what is asked; silence without words
//	fail
//
// A word is spelled by a token, or by several with + between them; _ before it stands for no space. Its times are those in the
// window.
func TestLiveTranscripts(t *testing.T) {
	testTranscripts(t, "testdata/live/*.txt", func() *liveWorld { return newLiveWorld(nil) })
}

// liveWorld is a core whose tokens are interned pieces of text.
type liveWorld struct {
	*liveCore
	texts []string
	out   *strings.Builder
}

func (w *liveWorld) written() *strings.Builder { return w.out }

func newLiveWorld(words []string) *liveWorld {
	w := &liveWorld{out: new(strings.Builder)}
	o := liveWords(words)
	ctx := 448
	if n, err := strconv.Atoi(o["ctx"]); err == nil {
		ctx = n
	}
	w.liveCore = &liveCore{liveOptions: w.options(o), nTextCtx: ctx, decode: w.text}
	return w
}

// liveWords returns words of the form name=value as a map.
func liveWords(words []string) map[string]string {
	m := make(map[string]string)
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		m[name] = value
	}
	return m
}

func (w *liveWorld) options(m map[string]string) liveOptions {
	number := func(name string, value int) int {
		if n, err := strconv.Atoi(m[name]); err == nil {
			return n
		}
		return value
	}
	has := func(name string) bool { _, ok := m[name]; return ok }
	o := liveOptions{
		policy: LocalAgreement, language: m["language"], partials: !has("no-partials"), words: has("words"), conditioned: has("conditioned"),
		step: number("step", 30), maxBuffer: number("max-buffer", 900),
	}
	if has("policy") {
		o.policy = Policy(m["policy"])
	}
	if has("prompt") {
		o.prompt = []int32{w.token(" " + m["prompt"])}
	}
	return o
}

func (w *liveWorld) token(text string) int32 {
	for i, t := range w.texts {
		if t == text {
			return int32(i)
		}
	}
	w.texts = append(w.texts, text)
	return int32(len(w.texts) - 1)
}

func (w *liveWorld) text(tokens []int32) string {
	text := ""
	for _, id := range tokens {
		text += w.texts[id]
	}
	return text
}

func (w *liveWorld) command(words []string) *liveWorld {
	n := 0
	if len(words) > 1 {
		n, _ = strconv.Atoi(words[1])
	}
	switch words[0] {
	case "options":
		return newLiveWorld(words[1:])
	case "update":
		w.update(w.options(liveWords(words[1:])))
	case "sound":
		w.sound(n)
	case "start":
		w.speechStart(n, 0)
	case "end":
		w.speechEnd(n)
	case "finalize":
		w.finalize()
	case "close":
		w.closed = true
	case "hear", "fail":
		if w.asked == nil {
			fmt.Fprintln(w.out, "nothing is asked")
			return w
		}
		if words[0] == "fail" {
			w.answer(hypothesis{err: errors.New("a bad window")})
			break
		}
		w.answer(w.hypothesis(words[1:]))
	default:
		panic("unknown command " + words[0])
	}
	w.show()
	return w
}

// hypothesis reads what was heard.
func (w *liveWorld) hypothesis(words []string) hypothesis {
	h := hypothesis{language: w.asked.language, avgLogProb: -0.1, compressionRatio: 1}
	for _, word := range words {
		text, at, timed := strings.Cut(word, "@")
		if !timed {
			switch name, prob, ok := strings.Cut(word, "="); {
			case word == "loops":
				h.compressionRatio = 9
			case word == "unsure":
				h.avgLogProb = -2
			default:
				h.language = name
				if h.languageProb = 1; ok {
					h.languageProb, _ = strconv.ParseFloat(prob, 64)
				}
			}
			continue
		}
		times, attended, _ := strings.Cut(at, "@")
		start, end, _ := strings.Cut(times, "-")
		from, _ := strconv.Atoi(start)
		to, _ := strconv.Atoi(end)
		hw := heardWord{WordTiming: whisper.WordTiming{Start: frameTime(w.asked.from + from), End: frameTime(w.asked.from + to), Probability: 1}}
		hw.attended, _ = strconv.Atoi(attended)
		if text = strings.TrimPrefix(" "+text, " _"); text == "" {
			panic("no word in " + word)
		}
		hw.Text = strings.ReplaceAll(text, "+", "")
		for piece := range strings.SplitSeq(text, "+") {
			hw.Tokens = append(hw.Tokens, w.token(piece))
		}
		h.words = append(h.words, hw)
	}
	return h
}

// show writes the events, and what is asked now.
func (w *liveWorld) show() {
	for _, e := range w.events {
		fmt.Fprintf(w.out, "%d %s segment %d %.2f-%.2f", e.Seq, e.Kind, e.Segment, e.Start, e.End)
		switch e.Kind {
		case Partial:
			fmt.Fprintf(w.out, " %q | %q %s", e.Committed, e.Tentative, e.Language)
		case Final:
			fmt.Fprintf(w.out, " %q %s", e.Text, e.Language)
			for _, word := range e.Words {
				fmt.Fprintf(w.out, " %q %.2f-%.2f", word.Word, word.Start, word.End)
			}
			if e.SpeechFinal {
				fmt.Fprint(w.out, " speech final")
			}
			if e.Finalized {
				fmt.Fprint(w.out, " finalized")
			}
		case Failed:
			fmt.Fprintf(w.out, " %v", e.Err)
		}
		if e.sounded > 0 {
			fmt.Fprintf(w.out, ", new to %.2f", frameTime(e.sounded))
		}
		fmt.Fprintf(w.out, ", heard %.2f, needed from %.2f\n", e.Heard, e.Acked)
	}
	w.events = nil
	if a := w.next(); a != nil {
		fmt.Fprintf(w.out, "? %s %d-%d language %q prompt %q prefix %q\n", [...]string{"partial", "cut", "final"}[a.kind], a.from, a.to, a.language, w.text(a.prompt), w.text(a.prefix))
	}
}
