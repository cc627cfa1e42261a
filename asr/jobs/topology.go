package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// Names of what is on the broker: see the package comment.
const (
	streamJobs     = "ASR_JOBS"
	streamWindows  = "ASR_WINDOWS"
	streamAdvisory = "ASR_ADVISORY"
	streamDead     = "ASR_DLQ"
	streamHooks    = "ASR_HOOKS"

	bucketJobs    = "asr_jobs"
	bucketResults = "asr_results"
	bucketAudio   = "asr_audio"

	subjectJobs    = "asr.jobs."    // PRIORITY.MODEL
	subjectWindows = "asr.windows." // JOB
	subjectDead    = "asr.dead."    // JOB
	subjectHooks   = "asr.hooks."   // JOB
	subjectEvents  = "asr.events."  // JOB
	subjectCancel  = "asr.cancel."  // JOB
)

// What bounds the messages and their deliveries.
const (
	maxInline     = 512 << 10        // bytes of sound in a message; more are an object
	maxDeliver    = 5                // deliveries of a message before it is a dead letter
	ackWait       = 30 * time.Second // after which a message is delivered again unless its worker says that it is at it
	duplicateTime = 10 * time.Minute // within which a second message of one job is dropped
)

// priorities in the order in which workers ask for them.
var priorities = []asr.Priority{asr.Live, asr.Normal, asr.Bulk}

// topology is what the package needs on the broker.
type topology struct {
	jobs, windows, advisory, dead, hooks jetstream.Stream
	records, results                     jetstream.KeyValue
	audio                                jetstream.ObjectStore
}

// makeTopology creates what is not there. Existing streams and buckets are given these settings.
func makeTopology(ctx context.Context, js jetstream.JetStream, o Options) (*topology, error) {
	var t topology
	kept := o.Limits.JobsKept
	streams := []struct {
		to *jetstream.Stream
		c  jetstream.StreamConfig
	}{
		{&t.jobs, jetstream.StreamConfig{Name: streamJobs, Subjects: []string{subjectJobs + "*.*"}, Retention: jetstream.WorkQueuePolicy,
			Discard: jetstream.DiscardNew, MaxMsgs: int64(o.Limits.Jobs), Duplicates: duplicateTime}},
		{&t.windows, jetstream.StreamConfig{Name: streamWindows, Subjects: []string{subjectWindows + "*"}, MaxAge: kept, AllowDirect: true}},
		{&t.advisory, jetstream.StreamConfig{Name: streamAdvisory, Retention: jetstream.WorkQueuePolicy, MaxAge: kept, Subjects: []string{
			"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES." + streamJobs + ".>", "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED." + streamJobs + ".>"}}},
		{&t.dead, jetstream.StreamConfig{Name: streamDead, Subjects: []string{subjectDead + "*"}, MaxAge: kept, MaxMsgsPerSubject: 1, AllowDirect: true}},
		{&t.hooks, jetstream.StreamConfig{Name: streamHooks, Subjects: []string{subjectHooks + "*"}, Retention: jetstream.WorkQueuePolicy,
			MaxAge: kept, Duplicates: duplicateTime}},
	}
	for _, s := range streams {
		s.c.Storage, s.c.Replicas = jetstream.FileStorage, o.Replicas
		stream, err := js.CreateOrUpdateStream(ctx, s.c)
		if err != nil {
			return nil, fmt.Errorf("jobs: stream %s: %w", s.c.Name, err)
		}
		*s.to = stream
	}
	for name, to := range map[string]*jetstream.KeyValue{bucketJobs: &t.records, bucketResults: &t.results} {
		kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, TTL: kept, Storage: jetstream.FileStorage, Replicas: o.Replicas})
		if err != nil {
			return nil, fmt.Errorf("jobs: bucket %s: %w", name, err)
		}
		*to = kv
	}
	objects, err := js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: bucketAudio, TTL: kept, Storage: jetstream.FileStorage, Replicas: o.Replicas})
	if err != nil {
		return nil, fmt.Errorf("jobs: objects %s: %w", bucketAudio, err)
	}
	t.audio = objects
	return &t, nil
}

// consumers returns the durable consumers of a model's jobs, by priority, which it makes where they are not there: so that what waits is
// counted before a worker comes (num_pending + num_ack_pending).
func (t *topology) consumers(ctx context.Context, model string) (map[asr.Priority]jetstream.Consumer, error) {
	of := make(map[asr.Priority]jetstream.Consumer)
	for _, p := range priorities {
		c, err := t.jobs.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
			Durable: p.String() + "-" + token(model), FilterSubject: subjectOf(p, model), AckPolicy: jetstream.AckExplicitPolicy,
			AckWait: ackWait, MaxDeliver: maxDeliver, MaxAckPending: -1,
		})
		if err != nil {
			return nil, fmt.Errorf("jobs: consumer of %s jobs of model %q: %w", p, model, err)
		}
		of[p] = c
	}
	return of, nil
}

// subjectOf returns the subject of the jobs of a priority for a model.
func subjectOf(p asr.Priority, model string) string {
	return subjectJobs + p.String() + "." + token(model)
}

// token returns a model's name as a token of subjects and a part of consumers' names: bytes that are not letters, digits or - become _ and
// two hexadecimal digits, so that no two names are the same.
func token(model string) string {
	var b strings.Builder
	for _, c := range []byte(model) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

// isWrongSequence reports whether another was faster to change a key or a subject.
func isWrongSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}
