package jobs

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"glossa/asr"
)

// request asks the service for the text of a file.
func (s *site) request(subject string, file []byte, params string) *nats.Msg {
	s.t.Helper()
	m := &nats.Msg{Subject: subject, Data: file, Header: nats.Header{}}
	if params != "" {
		m.Header.Set(headerParams, params)
	}
	answer, err := s.nc.RequestMsg(m, 5*time.Second)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer
}

func TestServiceAnswersAtOnce(t *testing.T) {
	s := newSite(t, asr.Limits{Decoded: 2 * time.Second})
	e := &fakeEngine{adapters: []string{"cs"}}
	s.work(e, func(w *Worker) { w.o.Version = "1.2.3" })
	file := fakeSound(1, 5)
	var m *nats.Msg
	within(t, "the service", func() bool {
		var err error
		m, err = s.nc.Request("$SRV.PING.asr", nil, time.Second)
		return err == nil
	})
	var ping micro.Ping
	if err := json.Unmarshal(m.Data, &ping); err != nil || ping.Name != "asr" || ping.Version != "1.2.3" || ping.Metadata["model"] != "nano" || ping.Type != micro.PingResponseType {
		t.Errorf("PING: %s, %v", m.Data, err)
	}
	var info micro.Info
	m = s.request("$SRV.INFO.asr."+ping.ID, nil, "")
	if err := json.Unmarshal(m.Data, &info); err != nil || len(info.Endpoints) != 3 {
		t.Errorf("INFO: %s, %v", m.Data, err)
	}

	for _, subject := range []string{subjectTranscribe, subjectTranscribe + ".nano"} {
		m = s.request(subject, file, `{"prompt": "p", "model": "nano"}`)
		var r asr.Result
		if err := json.Unmarshal(m.Data, &r); err != nil || r.Text != fakeResult(file, "p").Text || r.Duration != 0.5 {
			t.Errorf("%s: %s %v, %v", subject, m.Data, m.Header, err)
		}
	}
	var models ServiceModels
	m = s.request(subjectModels, nil, "")
	if err := json.Unmarshal(m.Data, &models); err != nil || !slices.Equal(models.Models, []string{"nano", "tiny nano"}) || models.Adapters == nil {
		t.Errorf("models: %s, %v", m.Data, err)
	}
	for _, c := range []struct{ name, code, params, text string }{
		{"params", "400", `{"beams": 5}`, `there is no param "beams"`},
		{"json", "400", `[`, "no object of params"},
		{"model", "404", `{"model": "large"}`, `no model "large"`},
		{"adapter", "404", `{"adapter": "klingon"}`, `adapter "klingon"`},
	} {
		m = s.request(subjectTranscribe, file, c.params)
		if got := m.Header.Get(micro.ErrorCodeHeader); got != c.code || !strings.Contains(m.Header.Get(micro.ErrorHeader), c.text) {
			t.Errorf("%s: %v, want %s %q", c.name, m.Header, c.code, c.text)
		}
	}
	m = s.request(subjectTranscribe, []byte("no sound"), "")
	if m.Header.Get(micro.ErrorCodeHeader) != "400" {
		t.Errorf("no sound: %v", m.Header)
	}
	m = s.request(subjectTranscribe, fakeSound(1, 25), "")
	if m.Header.Get(micro.ErrorCodeHeader) != "400" || !strings.Contains(m.Header.Get(micro.ErrorHeader), "longer than 2s") {
		t.Errorf("too long: %v", m.Header)
	}

	var stats micro.Stats
	within(t, "statistics", func() bool {
		m = s.request("$SRV.STATS.asr", nil, "")
		if err := json.Unmarshal(m.Data, &stats); err != nil {
			t.Fatal(err)
		}
		for _, e := range stats.Endpoints {
			var own serviceStats
			if e.Name == "transcribe" && json.Unmarshal(e.Data, &own) == nil && e.NumRequests == 7 && own.Served == 8 && own.Failed == 6 && own.Audio == 1 {
				return true
			}
		}
		return false
	})
}

func TestServiceIsBoundedAndDrains(t *testing.T) {
	s := newSite(t, asr.Limits{})
	hold := make(chan struct{})
	e := &fakeEngine{before: func(ctx context.Context, _ asr.Request, _ int) error {
		select {
		case <-hold:
		case <-ctx.Done():
		}
		return nil
	}}
	w := s.work(e, nil) // two requests
	file := fakeSound(1, 1)
	within(t, "the service", func() bool { _, err := s.nc.Request("$SRV.PING.asr", nil, time.Second); return err == nil })
	var all sync.WaitGroup
	answers := make([]*nats.Msg, 2)
	for i := range answers {
		all.Go(func() { answers[i] = s.request(subjectTranscribe, file, "") })
	}
	within(t, "two requests", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.running == 2 })
	if m := s.request(subjectTranscribe, file, ""); m.Header.Get(micro.ErrorCodeHeader) != "429" {
		t.Errorf("a request too many: %v", m.Header)
	}
	w.drain()
	within(t, "no service", func() bool {
		_, err := s.nc.Request("$SRV.PING.asr", nil, time.Second)
		return err != nil
	})
	close(hold)
	all.Wait()
	for _, m := range answers {
		if m.Header.Get(micro.ErrorCodeHeader) != "" || len(m.Data) == 0 {
			t.Errorf("a request that had begun: %v", m.Header)
		}
	}
	<-w.ended
}

func TestVersionsOfTheServiceAreSemantic(t *testing.T) {
	for version, want := range map[string]string{"1.2.3": "1.2.3", "v0.4.0-rc.1+meta": "0.4.0-rc.1+meta", "": "0.0.0", "(devel)": "0.0.0", "1.2": "0.0.0"} {
		if got := semanticVersion(version); got != want {
			t.Errorf("%q: %s, want %s", version, got, want)
		}
	}
}
