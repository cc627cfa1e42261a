package ws

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"glossa/asr"
	"glossa/audio"
)

// FuzzConfig parses configs and updates: what passes is within bounds, and what does not is told of as the client's
// fault.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{plain, `{"type":"config","sample_rate":44100,"encoding":"opus","channels":2,"languages":["de"],"hotwords":["a"],"interim_results":false,` +
		`"endpointing_ms":300,"policy":"alignatt","resume":{"session_id":"x","last_seq":9}}`, `{"sample_rate":1e99}`, `{"hotwords":[""]}`, `[]`, `{}{}`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, err := typeOf(b)
		if err != nil && failureOf(err).code != CodeInvalid {
			t.Fatalf("type %q: %v", kind, err)
		}
		c, err := parseConfig(b)
		if err != nil {
			if f := failureOf(err); f.code != CodeInvalid || f.close != 1008 {
				t.Fatalf("%v", err)
			}
		} else {
			if c.SampleRate < audio.MinSourceRate || c.Channels < 1 || c.Channels > maxChannels || len(c.options().Hotwords) > maxText+2*maxHotwords {
				t.Fatalf("%+v", c)
			}
			encode(c)
		}
		base, _ := parseConfig([]byte(plain))
		u, err := base.updated(b)
		if err == nil && (u.Encoding != base.Encoding || u.SampleRate != base.SampleRate || u.check() != nil) {
			t.Fatalf("an update made %+v", u)
		}
	})
}

// bench is a connection that is none, with a fake session, for messages without a network.
func bench(t testing.TB, route string) *conn {
	engine := &fakeEngine{}
	s := New(quick(engine))
	c := &conn{server: s, route: route, log: s.o.Log, signal: make(chan struct{}, 1), written: make(chan struct{}), over: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	t.Cleanup(func() { c.cancel(); s.cancel() })
	return c
}

// pull words all events that are there.
func pull(t testing.TB, c *conn) (all [][]byte) {
	c.mu.Lock()
	all, c.queue = c.queue, nil
	l := c.live
	c.mu.Unlock()
	for l != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		e, err := l.session.Next(ctx)
		if err != nil {
			break
		}
		all = append(all, c.proto.event(e)...)
	}
	for _, b := range all {
		if !json.Valid(b) {
			t.Fatalf("no JSON: %q", b)
		}
	}
	return all
}

// FuzzListen parses the parameters of /v1/listen, and takes a text and a binary message behind them.
func FuzzListen(f *testing.F) {
	f.Add("encoding=linear16&sample_rate=16000&interim_results=true&endpointing=300", []byte(`{"type":"Finalize"}`), []byte{1, 2, 3})
	f.Add("encoding=opus&keyterm=a&keywords=b:1&utterance_end_ms=1000&vad_events=true&language=multi", []byte(`{"type":"CloseStream"}`), []byte("OggS"))
	f.Add("diarize=true", []byte(`{"type":5}`), []byte{})
	f.Add("encoding=mulaw&sample_rate=8000&channels=8", []byte(`{`), []byte{0xff})
	f.Fuzz(func(t *testing.T, query string, text, binary []byte) {
		values, err := url.ParseQuery(query)
		if err != nil || len(values) == 0 {
			return
		}
		q, err := parseListen(values, nil)
		if err != nil {
			if failureOf(err).code != CodeInvalid {
				t.Fatal(err)
			}
			return
		}
		c := bench(t, "/v1/listen")
		p := &listen{conn: c, query: q, id: "x", created: time.Now(), hash: newHash()}
		c.proto = p
		l, err := p.begin()
		if err != nil {
			if code := failureOf(err).code; code != CodeInvalid && code != CodeInvalidAudio {
				t.Fatal(err)
			}
			return
		}
		defer l.finish()
		c.begin(l)
		for _, take := range []func() error{func() error { return p.text(text) }, func() error { return p.binary(binary) }, c.endSound} {
			if err := take(); err != nil {
				if failureOf(err).code == CodeInternal {
					t.Fatal(err)
				}
				c.say(p.failed(failureOf(err))...)
			}
		}
		pull(t, c)
	})
}

// FuzzRealtime takes two events of /v1/realtime, behind sound.
func FuzzRealtime(f *testing.F) {
	for _, seed := range []string{at16k, appendOf(make([]byte, 4800)), `{"type":"input_audio_buffer.commit"}`, `{"type":"input_audio_buffer.clear"}`,
		`{"type":"transcription_session.update","session":{"input_audio_format":"g711_alaw","turn_detection":null}}`, `{"type":"session.update","session":{"type":"transcription","audio":{"input":{"turn_detection":{"threshold":1e300}}}}}`} {
		f.Add([]byte(seed), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		c := bench(t, "/v1/realtime")
		p := &realtime{conn: c, id: "sess_x", config: newRealtimeConfig()}
		c.proto = p
		defer func() {
			if c.live != nil {
				c.live.finish()
			}
		}()
		for _, b := range [][]byte{first, []byte(appendOf(fakeSound(0, 7000))), second, first} {
			if err := p.text(b); err != nil {
				if failureOf(err).code == CodeInternal {
					t.Fatal(err)
				}
				c.say(p.failed(failureOf(err))...)
			}
			pull(t, c)
		}
		if c.live == nil {
			return
		}
		if err := c.endSound(); err != nil {
			t.Fatal(err)
		}
		pull(t, c)
	})
}

// FuzzSound feeds the sound of every encoding in two pieces: there is no more of it than the bytes can hold.
func FuzzSound(f *testing.F) {
	webm, err := os.ReadFile("../../audio/testdata/chirp.webm")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(5, webm, 700)
	f.Add(4, []byte{31<<3 | 3, 6, 0xff, 0xfe}, 2)
	f.Add(0, []byte{1, 2, 3, 4}, 2)
	f.Add(7, []byte("OggS"), 4)
	f.Fuzz(func(t *testing.T, encoding int, b []byte, cut int) {
		names := append(slices.Clone(Encodings[:5]), "", opusOrOgg)
		name := names[uint(encoding)%uint(len(names))]
		in, err := newSound(name, 8000+cut&1023, 1+cut&1, time.Second, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer in.stop()
		session := newFake(context.Background(), asr.ListenOptions{})
		in.session = session
		cut = min(max(cut, 0), len(b))
		for _, piece := range [][]byte{b[:cut], b[cut:]} {
			if err := in.write(piece); err != nil && failureOf(err).code == CodeInternal {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if err := in.close(); err != nil && failureOf(err).code == CodeInternal {
			t.Fatalf("%s: %v", name, err)
		}
		if bytes, at := in.position(); bytes > int64(len(b)) || at > 2*time.Second {
			t.Fatalf("%s: %d bytes, %v of %d", name, bytes, at, len(b))
		}
		if session.samples > 2*audio.SampleRate {
			t.Fatalf("%s: %d samples", name, session.samples)
		}
	})
}

// FuzzStreamMessages takes messages of /v1/stream in any order.
func FuzzStreamMessages(f *testing.F) {
	f.Add([]byte(plain), []byte(`{"type":"finalize"}`), []byte{1, 2})
	f.Add([]byte(`{"type":"config","encoding":"ogg"}`), []byte(`{"type":"update","language":"de"}`), []byte("OggS"))
	f.Add([]byte(plain), []byte(`{"type":"close"}`), []byte{1, 2})
	f.Fuzz(func(t *testing.T, first, second, sound []byte) {
		c := bench(t, "/v1/stream")
		p := &stream{conn: c}
		c.proto = p
		defer func() {
			if c.live != nil {
				c.live.finish()
			}
		}()
		for _, take := range []func() error{func() error { return p.text(first) }, func() error { return p.binary(sound) },
			func() error { return p.text(second) }, func() error { return p.binary(sound) }} {
			if err := take(); err != nil {
				fail := failureOf(err)
				if fail.code == CodeInternal || errors.Is(err, errEnding) || strings.Contains(fail.message, "panic") {
					t.Fatal(err)
				}
				c.say(p.failed(fail)...)
			}
		}
		pull(t, c)
	})
}

// FuzzBase64 decodes what the standard library does, and padding or none.
func FuzzBase64(f *testing.F) {
	f.Add("AAAA")
	f.Add("AA==")
	f.Fuzz(func(t *testing.T, s string) {
		want, err := base64.StdEncoding.DecodeString(s)
		got, err2 := decodeBase64(s)
		if err == nil && (err2 != nil || !slices.Equal(want, got)) {
			t.Fatalf("%q: %v, %v", s, got, err2)
		}
	})
}
