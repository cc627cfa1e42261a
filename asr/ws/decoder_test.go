package ws

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"glossa/asr"
	"glossa/audio"
)

// recorder is a decoder that keeps what it is given.
type recorder struct{ bytes.Buffer }

func (r *recorder) Write(piece []byte) error    { r.Buffer.Write(piece); return nil }
func (r *recorder) Close() error                { return nil }
func (r *recorder) Stop()                       {}
func (r *recorder) Duration() (d time.Duration) { return d }

// TestPositionsAreExact breaks off raw sound of any rate again and again, and goes on at the millisecond, or at the
// byte, that the position names: what is passed on is the sound, whole and once.
func TestPositionsAreExact(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 3))
		rate := []int64{8000, 11025, 16000, 22050, 44100, 48000, 100, 999, 1001, 767999}[random.IntN(10)]
		width := int64(1 + random.IntN(6))
		sound := make([]byte, width*int64(random.IntN(3000)))
		for i := range sound {
			sound[i] = byte(random.Uint32())
		}
		got := &recorder{}
		w := &wholeMilliseconds{decoder: got, rate: rate, width: width}
		for at := int64(0); at < int64(len(sound)); {
			n := min(width*int64(random.IntN(300)), int64(len(sound))-at)
			if err := w.Write(sound[at : at+n]); err != nil {
				t.Fatal(err)
			}
			at += n
			switch random.IntN(6) {
			case 0: // by milliseconds
				w.forget()
				at = w.last.Load() * rate / 1000 * width
			case 1: // by bytes
				w.forget()
				at = w.passed.Load() * width
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), sound) {
			t.Fatalf("seed %d: %d bytes of %d at %d Hz, %d a frame", seed, got.Len(), len(sound), rate, width)
		}
	}
}

// TestAnyCut lets messages end anywhere where the protocol does.
func TestAnyCut(t *testing.T) {
	got := &recorder{}
	w := &wholeMilliseconds{decoder: got, rate: 8000, width: 4, anyCut: true}
	sound := fakeSound(0, 1000)
	for at := 0; at < len(sound); at += 7 {
		if err := w.Write(sound[at:min(at+7, len(sound))]); err != nil {
			t.Fatal(err)
		}
		if w.passed.Load()%8 != 0 {
			t.Fatalf("%d frames were passed", w.passed.Load())
		}
	}
	if err := w.Close(); err != nil || !bytes.Equal(got.Bytes(), sound) {
		t.Errorf("%v: %d bytes of %d", err, got.Len(), len(sound))
	}
	strict := &wholeMilliseconds{decoder: mustRaw(t), rate: 8000, width: 4}
	if err := strict.Write(make([]byte, 7)); !errors.Is(err, audio.ErrTruncated) {
		t.Errorf("a cut frame: %v", err)
	}
}

func mustRaw(t *testing.T) decoder {
	s, err := audio.NewRawStream(audio.RawS16, 8000, 2, 0, func([]float32) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOutbox forgets what the server has, and no more.
func TestOutbox(t *testing.T) {
	var o outbox
	for _, i := range []item{{kind: 2, message: []byte("abcd")}, {kind: 1, message: []byte("finalize")}, {kind: 2, message: []byte("efgh")}, {kind: 1, message: []byte("close")}} {
		if err := o.add(i); err != nil {
			t.Fatal(err)
		}
	}
	text := func(items []item) (s string) {
		for _, i := range items {
			s += string(i.message) + " "
		}
		return s
	}
	for _, c := range []struct {
		offset int64
		want   string
	}{{0, "abcd finalize efgh close "}, {2, "cd finalize efgh close "}, {4, "finalize efgh close "}, {5, "fgh close "}, {8, "close "}} {
		items, err := o.from(c.offset)
		if err != nil || text(items) != c.want {
			t.Errorf("from %d: %q, %v", c.offset, text(items), err)
		}
	}
	if _, err := o.from(2); err == nil {
		t.Error("what was forgotten was found")
	}
	if o.bytes != len("close") {
		t.Errorf("%d bytes are kept", o.bytes)
	}
	if err := o.add(item{kind: 2, message: make([]byte, maxOutbox+1)}); !errors.Is(err, asr.ErrBusy) {
		t.Errorf("too much: %v", err)
	}
}

// TestDialErrors tells apart why no session begins.
func TestDialErrors(t *testing.T) {
	answer := func(status int) string {
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "because", status) }))
		t.Cleanup(h.Close)
		return h.URL
	}
	_, url := start(t, quick(&fakeEngine{}))
	for server, want := range map[string]error{
		"ftp://x": asr.ErrInvalid, answer(503): asr.ErrBusy, answer(404): asr.ErrNotFound, answer(401): asr.ErrInvalid, answer(500): asr.ErrInternal,
	} {
		if _, err := Dial(t.Context(), server, Config{}, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", server, err, want)
		}
	}
	if _, err := Dial(t.Context(), url, Config{Language: "xx"}, nil); !errors.Is(err, asr.ErrInvalid) {
		t.Errorf("a language that there is not: %v", err)
	}
	c := dial(t, url+"/v1/stream", Config{})
	c.Close()
	if err := c.Send([]byte{1, 2}); !errors.Is(err, asr.ErrCancelled) {
		t.Errorf("behind Close: %v", err)
	}
	if _, err := c.Next(); err == nil {
		t.Error("Next behind Close")
	}
}
