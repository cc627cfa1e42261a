package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"glossa/asr"
	"glossa/audio"
	"glossa/flora"
)

// The micro service asr. Requests to subjectTranscribe go to any worker, those to subjectTranscribe.MODEL, spelt as in the subjects of jobs,
// to one that has the model.
//
// A request for a text has the file as its body, what is asked of it as an object in JSON in the header Asr-Params, and who asks in
// Asr-Client. The answer is an asr.Result in JSON, or an error of the protocol, by the headers Nats-Service-Error and
// Nats-Service-Error-Code: 400 what is wrong with the request, 404 a model or adapter that the worker has not, 429 too many
// requests, 500 a failure, 503 a worker that is being shut down.
const (
	serviceName       = "asr"
	subjectTranscribe = "asr.v1.transcribe"
	subjectModels     = "asr.v1.models"
	headerParams      = "Asr-Params"
)

// ServiceModels is the answer to a request to asr.v1.models.
type ServiceModels struct {
	Worker   string              `json:"worker"`
	Models   []string            `json:"models"` // names of its one model
	Adapters []flora.AdapterInfo `json:"adapters"`
}

// serviceStats are told beside the statistics of the protocol, which knows no more than how long a request took to be taken.
type serviceStats struct {
	Running   int           `json:"running"`
	Served    int           `json:"served"`
	Failed    int           `json:"failed"`  // among those served
	Refused   int           `json:"refused"` // as too many
	Computing time.Duration `json:"computing_ns"`
	Audio     float64       `json:"audio_seconds"`
}

// service answers small requests at once.
type service struct {
	w       *Worker
	working context.Context
	all     sync.WaitGroup

	mu    sync.Mutex
	ended bool
	stats serviceStats
}

// serve begins the service, which takes requests until taking ends, and ends those that it has with working. end returns when all have ended.
func (w *Worker) serve(taking, working context.Context) (end func(), err error) {
	if w.o.Requests < 0 {
		return func() {}, nil
	}
	s := &service{w: w, working: working}
	m, err := micro.AddService(w.s.nc, micro.Config{
		Name: serviceName, Version: semanticVersion(w.o.Version), Description: "speech to text",
		Metadata:     map[string]string{"worker": w.o.Name, "model": w.o.Models[0], "models": strings.Join(w.o.Models, ","), "version": w.o.Version},
		StatsHandler: func(e *micro.Endpoint) any { return s.statsOf(e.Name) },
		ErrorHandler: func(_ micro.Service, err *micro.NATSError) {
			w.log.Warn("the service "+serviceName, "subject", err.Subject, "error", err.Description)
		},
	})
	if err != nil {
		return nil, brokerError("take the service "+serviceName, err)
	}
	for name, e := range map[string]struct {
		subject string
		handler micro.HandlerFunc
	}{
		"transcribe":       {subjectTranscribe, s.take},
		"transcribe-model": {subjectTranscribe + "." + token(w.o.Models[0]), s.take},
		"models":           {subjectModels, s.models},
	} {
		if err := m.AddEndpoint(name, e.handler, micro.WithEndpointSubject(e.subject)); err != nil {
			m.Stop()
			return nil, brokerError("take the endpoint "+e.subject, err)
		}
	}
	stop := sync.OnceFunc(func() { m.Stop() }) // what has come is still answered
	forget := context.AfterFunc(taking, stop)
	return func() {
		forget()
		stop()
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
		s.all.Wait()
	}, nil
}

var semVer = regexp.MustCompile(`^v?(\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?)$`)

// semanticVersion returns a version as the protocol wants it, 0.0.0 for one that is not of that form.
func semanticVersion(v string) string {
	if m := semVer.FindStringSubmatch(v); m != nil {
		return m[1]
	}
	return "0.0.0"
}

func (s *service) statsOf(endpoint string) any {
	if endpoint == "models" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// take takes a request for a text, and answers it on a goroutine of its own.
func (s *service) take(r micro.Request) {
	s.mu.Lock()
	err := s.begin()
	s.mu.Unlock()
	if err != nil {
		s.answer(r, nil, err)
		return
	}
	go func() {
		defer s.all.Done()
		begun := time.Now()
		result, err := s.transcribe(r)
		s.mu.Lock()
		s.stats.Running--
		s.stats.Served++
		s.stats.Computing += time.Since(begun)
		if err != nil {
			s.stats.Failed++
		} else {
			s.stats.Audio += result.Duration
		}
		s.mu.Unlock()
		s.answer(r, result, err)
	}()
}

// begin counts a request, or refuses it.
func (s *service) begin() error {
	switch {
	case s.ended:
		return errDraining
	case s.stats.Running >= s.w.o.Requests:
		s.stats.Refused++
		return asr.ErrBusy
	}
	s.stats.Running++
	s.all.Add(1)
	return nil
}

// answer answers a request for a text, past the library, which allows no answer behind its handler's end.
func (s *service) answer(r micro.Request, result *asr.Result, err error) {
	m := &nats.Msg{Subject: r.Reply(), Header: nats.Header{}}
	if err == nil {
		m.Data, err = json.Marshal(toWireResult(result))
	}
	if limit := s.w.s.nc.MaxPayload(); err == nil && int64(len(m.Data)) > limit {
		err = fmt.Errorf("%w: the text has %d bytes, and a message may have %d: submit the sound as a job", asr.ErrInvalid, len(m.Data), limit)
	}
	if err != nil {
		code, text := serviceError(err, s.w.limits)
		if code == "500" {
			s.w.log.Error("a request failed", "error", err)
		}
		m.Header.Set(micro.ErrorCodeHeader, code)
		m.Header.Set(micro.ErrorHeader, text)
		m.Data = nil
	}
	if err := s.w.s.nc.PublishMsg(m); err != nil {
		s.w.broker.is(brokerError("take an answer", err))
	}
}

// transcribe does what a request asks for.
func (s *service) transcribe(r micro.Request) (*asr.Result, error) {
	var p asr.Params
	if text := r.Headers().Get(headerParams); text != "" {
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return nil, fmt.Errorf("%w: the header %s is no object of params: %w", asr.ErrInvalid, headerParams, err)
		}
	}
	for _, name := range p["model"] {
		if !slices.Contains(s.w.o.Models, name) {
			return nil, &absent{fmt.Sprintf("this worker has no model %q; %s.MODEL goes to one that has it", clip(name), subjectTranscribe)}
		}
	}
	delete(p, "model")
	client := r.Headers().Get(headerClient)
	q, err := s.w.o.Request(s.working, client, p)
	if err != nil {
		return nil, err
	}
	q.Client = client
	q.Audio = func() ([]float32, error) { return s.w.decode(s.working, bytes.NewReader(r.Data())) }
	return s.w.o.Engine.Transcribe(s.working, q)
}

// serviceError returns the code and the text of an error.
func serviceError(err error, limits asr.Limits) (code, text string) {
	switch {
	case errors.Is(err, errDraining), errors.Is(err, errFaulty), errors.Is(err, asr.ErrCancelled):
		return "503", "the worker is being shut down: ask again"
	case errors.Is(err, asr.ErrBusy):
		return "429", "the worker has no room for more requests: try again later, or submit a job"
	case errors.Is(err, asr.ErrNotFound), errors.Is(err, audio.ErrNoFFmpeg):
		return "404", plain(err)
	case errors.Is(err, asr.ErrInternal):
		return "500", "the worker failed at this request; its log says why"
	case errors.Is(err, asr.ErrInvalid):
		return "400", plain(err)
	}
	if reason := soundReason(err, limits); reason != "" {
		return "400", reason
	}
	return "500", "the worker failed at this request; its log says why"
}

// models answers with what the worker has.
func (s *service) models(r micro.Request) {
	m := ServiceModels{Worker: s.w.o.Name, Models: s.w.o.Models, Adapters: []flora.AdapterInfo{}}
	if e, ok := s.w.o.Engine.(interface{ Adapters() []flora.AdapterInfo }); ok {
		m.Adapters = append(m.Adapters, e.Adapters()...)
	}
	r.RespondJSON(m)
}
