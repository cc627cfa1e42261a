// Package jobs keeps transcription work on NATS JetStream: jobs outlive the processes that submit, keep and do them. JetStream is all of
// the queue, the leases and the retries; this package says what goes into it, and in which order it is acknowledged.
//
// # What is where
//
//	stream  ASR_JOBS      asr.jobs.PRIORITY.MODEL   work queue of messages, each a whole job; full: refused (DiscardNew)
//	stream  ASR_WINDOWS   asr.windows.JOB           checkpoints of a running job, until it is done or cancelled
//	stream  ASR_ADVISORY  $JS.EVENT.ADVISORY.…      what JetStream gave up (MAX_DELIVERIES, MSG_TERMINATED)
//	stream  ASR_DLQ       asr.dead.JOB              messages of failed jobs, with the reason
//	stream  ASR_HOOKS     asr.hooks.JOB             callbacks to be made, each the event of its end
//	bucket  asr_jobs      JOB                       the record of a job: its state changes here, by compare and swap
//	bucket  asr_results   JOB                       the result, and which attempt it is of
//	objects asr_results   JOB.ATTEMPT               results that are too long for it
//	objects asr_audio     JOB.RANDOM                sound that is too long for a message
//	core    asr.events.JOB                          JobEvents, for those who watch
//	core    asr.cancel.JOB                          tells a worker to stop
//	service asr.v1.transcribe, asr.v1.models        small requests, answered at once (NATS micro)
//
// A message that others publish is a job like any, but has no record, and so is in no list and no backlog, until a worker takes it or it becomes
// a dead letter: num_pending of its consumer counts it.
//
// What belongs to a job that has ended is kept for Limits.JobsKept, and what belongs to one that has not until it has.
//
// # Order
//
// A submission stores the sound, publishes the message with the job's id as its Nats-Msg-Id, and creates the record unless a worker was
// faster. A worker stores the result, changes the record to done, publishes the callback, and acknowledges the message; each step can be
// repeated and comes to the same. The change of the record to a final state is what counts: it happens once, so that each job has one
// result or one reason, however often its message is delivered.
//
// Whoever ends a job otherwise, a client that cancels it or a worker that refuses it, does the same: first the record, then what follows
// from its state, and the message last. A process that is lost in between leaves the message, and whoever gets that finds a job that has
// ended and does the rest. Sound whose submission was lost is the exception: Run sweeps it away.
//
// # Fences
//
// Each worker that begins a job has an attempt at it, a number that rises. Changes of the record, windows and results of an attempt that
// is not the newest are refused, so that a worker that was taken for lost, and was only slow, does no harm. A job that has failed or was
// cancelled can be begun anew: by a message that names the revision of the record that it does so from, which counts once. Otherwise
// one message owns a job, the one whose sequence its record has, as long as that is there: others are duplicates.
//
// # Suspects
//
// The record counts the workers that began a job and were not heard of again. A job, unless it is live, that has lost two may be what they
// were lost by, or have been beside that: from then on a worker runs it alone, behind all that it has otherwise, and claims it no earlier. What
// only waits behind it has lost no worker, and goes before it the next time. So a job that kills its worker is a dead letter after its last
// delivery, and takes no others along; a job that has had all its deliveries, and lost fewer workers, since it only waited where others had
// theirs die, is queued once more.
//
// # Dead letters
//
// A message that a worker of this package refuses is a dead letter before it is terminated, for a terminated message is gone from a
// work queue. One that was delivered too often is still there when its advisory comes, and Run makes it one, or spares it.
package jobs
