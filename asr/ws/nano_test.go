package ws

import (
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"glossa/asr"
	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/nano"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// nanoEngine is an engine with the embedded model.
var nanoEngine = sync.OnceValues(func() (*asr.Engine, error) {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		return nil, err
	}
	c, adapters, byLanguage, err := nano.Open()
	if err != nil {
		return nil, err
	}
	m, err := whisper.Load(c, b, tensor.F32)
	if err != nil {
		return nil, err
	}
	languages, err := nano.Languages()
	if err != nil {
		return nil, err
	}
	return asr.New(m, b, adapters, byLanguage, asr.Options{Written: languages})
})

// nanoServer serves the embedded model.
func nanoServer(t testing.TB) string {
	t.Helper()
	e, err := nanoEngine()
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Listen: Engine(e), Transcribe: e.Transcribe, Model: "nano"})
	h := httptest.NewServer(http.HandlerFunc(s.Handler().ServeHTTP))
	t.Cleanup(func() {
		s.Drain(t.Context())
		h.Close()
	})
	return h.URL
}

// spoken are clips that the model understands, and their words.
var spoken = []struct{ file, text string }{
	{"en/08.flac", "the bank opens at half past ten"},
	{"en/00.flac", "today is monday the twenty fourth"},
}

// spokenSound is a clip as pcm_s16le with silence behind it.
func spokenSound(t testing.TB, file string) []byte {
	t.Helper()
	pcm, err := audio.DecodeFile("../../testdata/multilingual/" + file)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 0, 2*len(pcm.Samples))
	for _, v := range append(pcm.Samples, make([]float32, audio.SampleRate)...) {
		b = binary.LittleEndian.AppendUint16(b, uint16(int16(max(-1, min(1, v))*32767)))
	}
	return b
}

// plainWords leaves letters and spaces.
func plainWords(text string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if strings.ContainsRune(".,;:!?-", r) {
			return ' '
		}
		return r
	}, strings.ToLower(text))), " ")
}

// TestNano speaks to the embedded model by each protocol; that of the stream over connections that are cut.
func TestNano(t *testing.T) {
	url := nanoServer(t)
	for seed, clip := range spoken {
		sound := spokenSound(t, clip.file)
		t.Run("stream "+clip.file, func(t *testing.T) {
			network := newCutter(uint64(seed), 20_000, 60_000, 2)
			c, err := Dialer{Reconnect: true, Websocket: network.dialer()}.Dial(t.Context(), url, Config{Language: "en"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			go func() {
				for piece := range slices.Chunk(sound, 6400) {
					c.Send(piece)
				}
				c.CloseSend()
			}()
			var l laws
			if err := drainEvents(c, &l); err != io.EOF || l.err != nil || !l.done {
				t.Fatalf("%v, %v, done %t", err, l.err, l.done)
			}
			if got := plainWords(l.text.String()); got != clip.text {
				t.Errorf("text %q, want %q", got, clip.text)
			}
		})
		t.Run("listen "+clip.file, func(t *testing.T) {
			conn := connect(t, url, "/v1/listen?language=en&encoding=linear16&sample_rate=16000&interim_results=true", nil)
			for piece := range slices.Chunk(sound, 6400) {
				say(t, conn, piece)
			}
			say(t, conn, `{"type":"CloseStream"}`)
			var text []string
			all, code := messagesOf(t, conn)
			for _, m := range all {
				if m["type"] == "Results" && m["is_final"].(bool) {
					text = append(text, alternative(m)["transcript"].(string))
				}
			}
			if got := plainWords(strings.Join(text, " ")); got != clip.text || code != 1000 {
				t.Errorf("text %q, want %q; close %d", got, clip.text, code)
			}
		})
		t.Run("realtime "+clip.file, func(t *testing.T) {
			conn := connect(t, url, "/v1/realtime?intent=transcription", nil)
			say(t, conn, strings.Replace(at16k, `"prompt":"about Glossa"`, `"prompt":""`, 1))
			for piece := range slices.Chunk(sound, 6400) {
				say(t, conn, appendOf(piece))
			}
			all := until(t, conn, transcription+"completed")
			if got := transcriptOf(t, all); plainWords(strings.Join(got, " ")) != clip.text {
				t.Errorf("text %q, want %q", got, clip.text)
			}
		})
	}
	t.Run("a file", func(t *testing.T) {
		f, err := os.Open("../../testdata/multilingual/en/00.flac")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		start := time.Now()
		answer, err := http.Post(url+"/v1/listen?model=nova-3&language=en", "audio/flac", f)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != http.StatusOK || !strings.Contains(strings.ToLower(string(b)), `"punctuated_word":"monday`) {
			t.Errorf("%s: %s", answer.Status, b)
		}
		t.Logf("%v", time.Since(start))
	})
}
