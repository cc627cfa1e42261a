package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"glossa/asr"
	"glossa/asr/params"
	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/nano"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// openNano returns an engine of the embedded model.
func openNano(t *testing.T) *asr.Engine {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, adapters, byLanguage, err := nano.Open()
	if err != nil {
		t.Fatal(err)
	}
	m, err := whisper.Load(c, b, tensor.F32)
	if err != nil {
		t.Fatal(err)
	}
	e, err := asr.New(m, b, adapters, byLanguage, asr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// spoken returns clips of the test set one after the other, with pauses, as a WAV file of 16 bits.
func spoken(t *testing.T, clips int) []byte {
	t.Helper()
	b := fakeSound(1, 0)
	for i := range clips {
		pcm, err := audio.DecodeFile(fmt.Sprintf("../../testdata/multilingual/%s/%02d.flac", []string{"en", "de"}[i%2], i/2))
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range append(pcm.Samples, make([]float32, audio.SampleRate/2)...) {
			v := int16(math.Round(float64(max(-1, min(x, 1))) * 32767))
			b = append(b, byte(v), byte(v>>8))
		}
	}
	n := uint32(len(b) - 44)
	for at, v := range map[int]uint32{4: 36 + n, 40: n} {
		b[at], b[at+1], b[at+2], b[at+3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	}
	return b
}

// breaking is an engine that tells of its first window, and then waits until the worker has had enough.
type breaking struct {
	Engine
	once   sync.Once
	stored func()
}

func (e *breaking) Transcribe(ctx context.Context, q asr.Request) (*asr.Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	offer := q.Checkpoint
	q.Checkpoint = func(c asr.Checkpoint) {
		e.once.Do(func() {
			offer(c)
			go e.stored()
			cancel(errDraining)
		})
	}
	return e.Engine.Transcribe(ctx, q)
}

// TestEmbeddedModelGoesOnWithAJob has one worker begin a recording of several windows and another end it, with the result that the engine has
// of it in one go, and asks the service for a short one.
func TestEmbeddedModelGoesOnWithAJob(t *testing.T) {
	e := openNano(t)
	s := newSite(t, asr.Limits{})
	file := spoken(t, 24)
	p := asr.Params{"vad_filter": {"true"}, "switch_language": {"true"}, "timestamp_granularities": {"word"}}
	reader := params.Reader{}
	request := func(ctx context.Context, client string, p asr.Params) (asr.Request, error) {
		return reader.Request(ctx, p)
	}
	q, err := reader.Request(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	q.Audio = func() ([]float32, error) {
		pcm, err := audio.Decode(bytes.NewReader(file), audio.Limits{})
		return pcm.Samples, err
	}
	windows := 0
	q.Checkpoint = func(asr.Checkpoint) { windows++ }
	want, err := e.Transcribe(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if windows < 3 || want.Text == "" {
		t.Fatalf("%d windows: %q", windows, want.Text)
	}

	var first *testWorker
	begun := make(chan struct{})
	first = s.work(&breaking{Engine: e, stored: func() { <-begun; first.kill() }}, func(w *Worker) { w.o.Request = request })
	close(begun)
	j := s.submit(file, "", func(q *asr.Submission) { q.Params = p })
	<-first.ended
	stored, err := s.storedWindows(t.Context(), j.ID)
	if err != nil || len(stored) != 1 {
		t.Fatalf("%d windows are stored, %v", len(stored), err)
	}
	s.work(e, func(w *Worker) { w.o.Request = request })
	s.wait(j.ID, asr.JobDone)
	got, err := s.Result(t.Context(), AnyClient, j.ID)
	if err != nil {
		t.Fatal(err)
	}
	got.Encodes = want.Encodes // which is not kept
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v,\nwant %+v", got, want)
	}
	s.empty()
	checkServiceWithNano(t, s)
}

// checkServiceWithNano asks the service for what somebody says, and for the adapters that there are.
func checkServiceWithNano(t *testing.T, s *site) {
	t.Helper()
	clip, err := os.ReadFile("../../testdata/multilingual/en/00.flac")
	if err != nil {
		t.Fatal(err)
	}
	var r asr.Result
	m := s.request(subjectTranscribe, clip, `{"language": "en"}`)
	if err := json.Unmarshal(m.Data, &r); err != nil || !strings.Contains(strings.ToLower(r.Text), "monday") {
		t.Errorf("%v %s, %v", m.Header, m.Data, err)
	}
	var models ServiceModels
	m = s.request(subjectModels, nil, "")
	if err := json.Unmarshal(m.Data, &models); err != nil || len(models.Adapters) < 2 {
		t.Errorf("%s, %v", m.Data, err)
	}
}
