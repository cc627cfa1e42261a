// Package jobs keeps transcription work on NATS JetStream: jobs outlive the processes that submit, keep and do them. JetStream is all of
// the queue, the leases and the retries; this package says what goes into it, and in which order it is acknowledged.
//
// # What is where
//
//	stream  ASR_JOBS      asr.jobs.PRIORITY.MODEL   work queue of messages, each a whole job; full: refused (DiscardNew)
//	stream  ASR_WINDOWS   asr.windows.JOB           checkpoints of a running job, until it ends
//	stream  ASR_ADVISORY  $JS.EVENT.ADVISORY.…      what JetStream gave up (MAX_DELIVERIES, MSG_TERMINATED)
//	stream  ASR_DLQ       asr.dead.JOB              messages of failed jobs, with the reason
//	stream  ASR_HOOKS     asr.hooks.JOB             callbacks to be made
//	bucket  asr_jobs      JOB                       the record of a job: its state changes here, by compare and swap
//	bucket  asr_results   JOB                       the result, created once
//	objects asr_audio     JOB                       sound that is too long for a message
//	core    asr.events.JOB                          JobEvents, for those who watch
//	core    asr.cancel.JOB                          tells a worker to stop
//	service asr.v1.transcribe, asr.v1.models        small requests, answered at once (NATS micro)
//
// # Order
//
// A submission stores the sound, publishes the message with the job's id as its Nats-Msg-Id, and creates the record unless a worker was
// faster. A worker stores the result, changes the record to done, publishes the callback, and acknowledges the message; each step can be
// repeated and comes to the same. The change of the record to a final state is what counts: it happens once, so that each job has one
// result or one reason, however often its message is delivered.
package jobs
