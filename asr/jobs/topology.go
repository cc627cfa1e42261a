package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
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
	bucketResults = "asr_results" // also the objects of results that are too long for it
	bucketAudio   = "asr_audio"

	subjectJobs    = "asr.jobs."    // PRIORITY.MODEL
	subjectWindows = "asr.windows." // JOB
	subjectDead    = "asr.dead."    // JOB
	subjectHooks   = "asr.hooks."   // JOB
	subjectEvents  = "asr.events."  // JOB
	subjectCancel  = "asr.cancel."  // JOB

	subjectMaxDeliveries = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES." + streamJobs + "."
	subjectTerminated    = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED." + streamJobs + "."
)

// What bounds the messages and their deliveries.
const (
	maxInline     = 512 << 10        // bytes of sound in a message; more are an object
	maxDeliver    = 5                // deliveries of a message before it is a dead letter
	ackWait       = 30 * time.Second // after which a message is delivered again unless its worker says that it is at it
	duplicateTime = 10 * time.Minute // within which a second message of one job is dropped
	markerTime    = time.Hour        // how long those who watch the records can see that one has expired
	longer        = time.Minute      // what belongs to a final job is kept so much longer than its record
)

// fewBrokers is metadata of the queue that has one replica because a cluster had too few brokers for three when it was made. Whoever opens it
// next tries again.
const fewBrokers = "asr-few-brokers"

// priorities in the order in which workers ask for them.
var priorities = []asr.Priority{asr.Live, asr.Normal, asr.Bulk}

// topology is what the package needs on the broker.
type topology struct {
	jobs, windows, advisory, dead, hooks jetstream.Stream
	records, results                     jetstream.KeyValue
	audio, long                          jetstream.ObjectStore // long: results
	sound                                jetstream.Stream      // of audio

	maxJobs  int64         // that may wait
	kept     time.Duration // how long final jobs are
	replicas int
	guessed  bool // replicas is what a cluster of three can have
	few      bool // there was one when the queue was made, for there were too few brokers
	ackWait  time.Duration
}

// makeTopology creates what is not there. Existing streams and buckets are given these settings, or keep what they have where a limit is 0.
func makeTopology(ctx context.Context, js jetstream.JetStream, o Options) (*topology, error) {
	t, err := chooseSettings(ctx, js, o)
	if err != nil {
		return nil, err
	}
	if err := t.makeStreams(ctx, js); err != nil {
		return nil, err
	}
	if err := t.makeBuckets(ctx, js); err != nil {
		return nil, err
	}
	return t, nil
}

// chooseSettings returns a topology that has its settings alone.
func chooseSettings(ctx context.Context, js jetstream.JetStream, o Options) (*topology, error) {
	t := &topology{maxJobs: int64(o.Limits.Jobs), kept: o.Limits.JobsKept, replicas: o.Replicas, ackWait: cmp.Or(o.ackWait, ackWait)}
	for name, take := range map[string]func(jetstream.StreamConfig){
		streamJobs: func(c jetstream.StreamConfig) {
			setWhereZero(&t.maxJobs, c.MaxMsgs)
			if t.few = t.replicas == 0 && c.Replicas == 1 && c.Metadata[fewBrokers] != ""; !t.few {
				setWhereZero(&t.replicas, c.Replicas)
			}
		},
		streamDead: func(c jetstream.StreamConfig) { setWhereZero(&t.kept, c.MaxAge-longer) },
	} {
		stream, err := js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("jobs: stream %s: %w", name, err)
		}
		take(stream.CachedInfo().Config)
	}
	defaults := asr.Limits{}.WithDefaults()
	setWhereZero(&t.maxJobs, int64(defaults.Jobs))
	setWhereZero(&t.kept, defaults.JobsKept)
	if t.kept < time.Second {
		return nil, fmt.Errorf("%w: jobs are kept for %s: want 1s at least", asr.ErrInvalid, t.kept)
	}
	if t.replicas == 0 {
		t.replicas = 1
		if js.Conn().ConnectedClusterName() != "" {
			t.replicas, t.guessed = 3, true
		}
	}
	return t, nil
}

func setWhereZero[T comparable](x *T, value T) {
	var zero T
	if *x == zero {
		*x = value
	}
}

// streamOf is a stream and where it is put.
type streamOf struct {
	to *jetstream.Stream
	jetstream.StreamConfig
}

func (t *topology) makeStreams(ctx context.Context, js jetstream.JetStream) error {
	streams := []streamOf{
		{&t.jobs, jetstream.StreamConfig{Name: streamJobs, Subjects: subjectsOfJobs(), Retention: jetstream.WorkQueuePolicy,
			Discard: jetstream.DiscardNew, MaxMsgs: t.maxJobs, Duplicates: min(duplicateTime, t.kept)}},
		{&t.windows, jetstream.StreamConfig{Name: streamWindows, Subjects: []string{subjectWindows + "*"}, MaxAge: t.kept + longer}},
		{&t.advisory, jetstream.StreamConfig{Name: streamAdvisory, Retention: jetstream.WorkQueuePolicy, MaxAge: t.kept,
			Subjects: []string{subjectMaxDeliveries + ">", subjectTerminated + ">"}}},
		{&t.dead, jetstream.StreamConfig{Name: streamDead, Subjects: []string{subjectDead + "*"}, MaxAge: t.kept + longer, MaxMsgsPerSubject: 1}},
		{&t.hooks, jetstream.StreamConfig{Name: streamHooks, Subjects: []string{subjectHooks + "*"}, Retention: jetstream.WorkQueuePolicy,
			MaxAge: t.kept, Duplicates: min(duplicateTime, t.kept)}},
	}
	for _, s := range streams {
		s.Storage, s.Replicas = jetstream.FileStorage, t.replicas
		stream, err := js.CreateOrUpdateStream(ctx, s.StreamConfig)
		if t.guessed && isTooFewPeers(err) {
			t.replicas, t.guessed, s.Replicas, s.Metadata = 1, false, 1, map[string]string{fewBrokers: "true"}
			stream, err = js.CreateOrUpdateStream(ctx, s.StreamConfig)
		}
		if err == nil && s.Name == streamWindows && t.direct() {
			s.AllowDirect = true
			stream, err = js.UpdateStream(ctx, s.StreamConfig)
		}
		if err != nil {
			return fmt.Errorf("jobs: stream %s: %w", s.Name, err)
		}
		*s.to = stream
	}
	return nil
}

// direct reports whether a message may be read from any broker that has it, which takes half as long: where there are several, one that is behind
// would not have what has been written.
func (t *topology) direct() bool { return t.replicas == 1 }

// makeBuckets makes those of keys and of objects. Records and sound of jobs that are not final do not expire.
func (t *topology) makeBuckets(ctx context.Context, js jetstream.JetStream) error {
	records, results := bucketStream(bucketJobs), bucketStream(bucketResults)
	records.AllowMsgTTL, records.SubjectDeleteMarkerTTL = true, markerTime
	results.MaxAge, results.Duplicates = t.kept+longer, min(results.Duplicates, t.kept)
	for to, c := range map[*jetstream.KeyValue]jetstream.StreamConfig{&t.records: records, &t.results: results} {
		c.Replicas, c.AllowDirect = t.replicas, t.direct()
		if _, err := js.CreateOrUpdateStream(ctx, c); err != nil {
			return fmt.Errorf("jobs: stream %s: %w", c.Name, err)
		}
		kv, err := js.KeyValue(ctx, strings.TrimPrefix(c.Name, "KV_"))
		if err != nil {
			return fmt.Errorf("jobs: bucket of %s: %w", c.Name, err)
		}
		*to = kv
	}
	long, audio := objectStream(bucketResults), objectStream(bucketAudio)
	long.MaxAge = t.kept + longer
	for to, c := range map[*jetstream.ObjectStore]jetstream.StreamConfig{&t.long: long, &t.audio: audio} {
		c.Replicas = t.replicas
		stream, err := js.CreateOrUpdateStream(ctx, c)
		if err != nil {
			return fmt.Errorf("jobs: stream %s: %w", c.Name, err)
		}
		if *to, err = js.ObjectStore(ctx, strings.TrimPrefix(c.Name, "OBJ_")); err != nil {
			return fmt.Errorf("jobs: objects of %s: %w", c.Name, err)
		}
		if to == &t.audio {
			t.sound = stream
		}
	}
	return nil
}

// objectStream returns the stream of an object store, as NATS's ADR-20 has it, but that, as of a bucket, only the leader answers: a worker
// would take sound that its replica has not yet for sound that is gone.
func objectStream(bucket string) jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: "OBJ_" + bucket, Subjects: []string{"$O." + bucket + ".C.>", "$O." + bucket + ".M.>"}, Discard: jetstream.DiscardNew,
		AllowRollup: true, Storage: jetstream.FileStorage}
}

// bucketStream returns the stream of a bucket of keys, as NATS's ADR-8 has it, but that only the leader of its replicas answers: what has
// been written is read.
func bucketStream(bucket string) jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: "KV_" + bucket, Subjects: []string{"$KV." + bucket + ".>"}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew,
		AllowRollup: true, DenyDelete: true, Storage: jetstream.FileStorage, Duplicates: 2 * time.Minute}
}

// consumers returns the durable consumers of a model's jobs, by priority, which it makes where they are not there: so that what waits is
// counted before a worker comes (num_pending + num_ack_pending).
func (t *topology) consumers(ctx context.Context, model string) (map[asr.Priority]jetstream.Consumer, error) {
	of := make(map[asr.Priority]jetstream.Consumer)
	for _, p := range priorities {
		c, err := t.jobs.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
			Durable: consumerOf(p, model), FilterSubject: subjectOf(p, model), AckPolicy: jetstream.AckExplicitPolicy,
			AckWait: t.ackWait, MaxDeliver: maxDeliver, MaxAckPending: -1,
		})
		if err != nil {
			return nil, fmt.Errorf("jobs: consumer of %s jobs of model %q: %w", p, model, err)
		}
		of[p] = c
	}
	return of, nil
}

// consumerOf returns the name of the consumer of a model's jobs of a priority.
func consumerOf(p asr.Priority, model string) string { return p.String() + "-" + token(model) }

// subjectsOfJobs returns those of all models. Others are nobody's, and a publisher is told so.
func subjectsOfJobs() []string {
	var subjects []string
	for _, p := range priorities {
		subjects = append(subjects, subjectJobs+p.String()+".*")
	}
	return subjects
}

// subjectOf returns the subject of the jobs of a priority for a model.
func subjectOf(p asr.Priority, model string) string {
	return subjectJobs + p.String() + "." + token(model)
}

// ofSubject returns the priority and the model of a subject of jobs.
func ofSubject(subject string) (asr.Priority, string, error) {
	priority, of, ok := strings.Cut(strings.TrimPrefix(subject, subjectJobs), ".")
	var p asr.Priority
	if err := p.UnmarshalText([]byte(priority)); err != nil || !ok || priority == "" {
		return 0, "", fmt.Errorf("%w: subject %s: want %sPRIORITY.MODEL", asr.ErrInvalid, subject, subjectJobs)
	}
	return p, modelOf(of), nil
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

// modelOf returns the model whose token it is. What is no token stays as it is.
func modelOf(token string) string {
	var b strings.Builder
	for rest := token; rest != ""; {
		before, after, escaped := strings.Cut(rest, "_")
		b.WriteString(before)
		if rest = after; !escaped {
			break
		}
		var c byte
		if len(rest) < 2 {
			return token
		}
		if _, err := fmt.Sscanf(rest[:2], "%02x", &c); err != nil {
			return token
		}
		b.WriteByte(c)
		rest = rest[2:]
	}
	return b.String()
}

// Codes of the server's errors that package jetstream has no name for.
const (
	codeNoPeers        jetstream.ErrorCode = 10005 // JSClusterNoPeersErrF
	codeNotAvailable   jetstream.ErrorCode = 10008 // JSClusterNotAvailErr
	codeNoReplicas     jetstream.ErrorCode = 10074 // JSStreamReplicasNotSupportedErr
	codeNotStored      jetstream.ErrorCode = 10077 // JSStreamStoreFailedF: also that the queue is full
	codeNoResources    jetstream.ErrorCode = 10023 // JSInsufficientResourcesErr
	codeNoStorage      jetstream.ErrorCode = 10047 // JSStorageResourcesExceededErr
	codeWrongLastOther jetstream.ErrorCode = 10164 // JSStreamWrongLastSequenceConstantErr
)

func isCode(err error, codes ...jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, c := range codes {
		if api.ErrorCode == c {
			return true
		}
	}
	return false
}

// isWrongSequence reports whether another was faster to change a key or a subject.
func isWrongSequence(err error) bool {
	return isCode(err, jetstream.JSErrCodeStreamWrongLastSequence, codeWrongLastOther) || errors.Is(err, jetstream.ErrKeyExists)
}

func isTooFewPeers(err error) bool { return isCode(err, codeNoPeers, codeNoReplicas) }

// isPassing reports whether a broker or a cluster that has just begun may do a moment later what it did not do, or did for another at that moment.
func isPassing(err error) bool {
	return isCode(err, codeNotAvailable, codeNoPeers, jetstream.JSErrCodeStreamNameInUse) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrConnectionReconnecting)
}
