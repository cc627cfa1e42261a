/* streams.cc: queues of work and the executor, the one thread that runs it. */
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <cstdlib>
#include "fake.h"

std::mutex big_lock;
thread_local context *current;
thread_local stream_t *capturing;
/* What the executor uses is never destroyed: it may be waiting when the process ends. */
static std::condition_variable &wake = *new std::condition_variable, &progress = *new std::condition_variable;
static std::vector<stream_t *> &all_streams = *new std::vector<stream_t *>;

double seconds() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool meanwhile() { /* run work without being waited for */
  static const bool on = getenv("FAKECUDA_MODE") && !strcmp(getenv("FAKECUDA_MODE"), "thread");
  return on;
}

static bool sticky(CUresult rc) { return rc >= CUDA_ERROR_ILLEGAL_ADDRESS && rc <= CUDA_ERROR_LAUNCH_FAILED; }

/* A stream that has work which may run now. */
static stream_t *next() {
  for (stream_t *s : all_streams)
    if (s->ran < (meanwhile() ? s->queued : s->wanted)) return s;
  return nullptr;
}

static void *executor(void *) {
  fiber_thread_start();
  LOCK;
  for (;;) {
    stream_t *s = next();
    if (!s) { wake.wait(lock); continue; }
    work w = std::move(s->queue.front());
    s->queue.pop_front();
    if (!s->owner->lost) {
      CUresult rc = w();
      if (sticky(rc)) s->owner->lost = rc;
    }
    s->ran++;
    progress.notify_all();
    if (meanwhile()) { lock.unlock(); sched_yield(); lock.lock(); }
  }
}
/* The executor never sees the signals that Go's runtime sends, but its own faults. */
static void start_executor() {
  static bool started;
  if (started) return;
  started = true;
  sigset_t all, old;
  sigfillset(&all);
  for (int n : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigdelset(&all, n);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  pthread_t t;
  if (pthread_create(&t, nullptr, executor, nullptr)) abort();
  pthread_detach(t);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

CUresult enqueue(stream_t *s, work w) {
  if (s->capture) {
    s->capture->nodes.push_back(std::move(w));
    return CUDA_SUCCESS;
  }
  s->queue.push_back(std::move(w));
  s->queued++;
  if (meanwhile()) wake.notify_all();
  return CUDA_SUCCESS;
}
CUresult drain(std::unique_lock<std::mutex> &lock, stream_t *s, unsigned long long to) {
  if (to > s->wanted) s->wanted = to;
  wake.notify_all();
  progress.wait(lock, [&] { return s->ran >= to; });
  return s->owner->lost;
}
CUresult drain_all(std::unique_lock<std::mutex> &lock, context *c) {
  for (size_t i = 0; i < c->streams.size(); i++) drain(lock, c->streams[i], c->streams[i]->queued);
  return c->lost;
}

/* ---- the API of streams and events ---- */
API CUresult cuStreamCreate(CUstream *out, unsigned flags) {
  CONTEXT;
  start_executor();
  stream_t *s = new stream_t;
  s->owner = current, s->blocking = !(flags & CU_STREAM_NON_BLOCKING);
  current->streams.push_back(s);
  all_streams.push_back(s);
  *out = (CUstream)s;
  return CUDA_SUCCESS;
}
static void forget(std::vector<stream_t *> &v, stream_t *s) {
  for (size_t i = 0; i < v.size(); i++) if (v[i] == s) { v.erase(v.begin() + (long)i); return; }
}
API CUresult cuStreamDestroy_v2(CUstream h) {
  LOCK;
  if (!current) return CUDA_ERROR_INVALID_CONTEXT;
  stream_t *s = (stream_t *)h;
  CUresult rc = drain(lock, s, s->queued);
  forget(s->owner->streams, s);
  forget(all_streams, s);
  delete s;
  return rc;
}
API CUresult cuStreamSynchronize(CUstream h) {
  CONTEXT;
  WAITING;
  return drain(lock, (stream_t *)h, ((stream_t *)h)->queued);
}
API CUresult cuStreamQuery(CUstream h) {
  CONTEXT;
  return ((stream_t *)h)->ran == ((stream_t *)h)->queued ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
API CUresult cuStreamWaitEvent(CUstream, CUevent e, unsigned) {
  CONTEXT;
  event_t *v = (event_t *)e;
  return v->stream ? drain(lock, v->stream, v->at) : CUDA_SUCCESS;
}
API CUresult cuCtxSynchronize() {
  CONTEXT;
  WAITING;
  return drain_all(lock, current);
}
API CUresult cuEventCreate(CUevent *e, unsigned) {
  CONTEXT;
  *e = (CUevent) new event_t;
  return CUDA_SUCCESS;
}
API CUresult cuEventDestroy_v2(CUevent e) {
  LOCK;
  delete (event_t *)e;
  return CUDA_SUCCESS;
}
API CUresult cuEventRecord(CUevent e, CUstream h) {
  CONTEXT;
  event_t *v = (event_t *)e;
  auto time = v->time;
  enqueue((stream_t *)h, [time] { *time = seconds(); return CUDA_SUCCESS; });
  v->stream = (stream_t *)h, v->at = v->stream->queued;
  return CUDA_SUCCESS;
}
API CUresult cuEventSynchronize(CUevent e) {
  CONTEXT;
  WAITING;
  event_t *v = (event_t *)e;
  return v->stream ? drain(lock, v->stream, v->at) : CUDA_SUCCESS;
}
API CUresult cuEventQuery(CUevent e) {
  CONTEXT;
  event_t *v = (event_t *)e;
  return !v->stream || v->stream->ran >= v->at ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
API CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end) {
  CONTEXT;
  event_t *a = (event_t *)start, *b = (event_t *)end;
  if (!a->stream || !b->stream) return CUDA_ERROR_INVALID_HANDLE;
  if (a->stream->ran < a->at || b->stream->ran < b->at) return CUDA_ERROR_NOT_READY;
  *ms = (float)(1e3 * (*b->time - *a->time));
  return CUDA_SUCCESS;
}

/* ---- graphs ---- */
API CUresult cuStreamBeginCapture_v2(CUstream h, CUstreamCaptureMode) {
  CONTEXT;
  stream_t *s = (stream_t *)h;
  if (s->capture || capturing) return CUDA_ERROR_ILLEGAL_STATE;
  if (settings[SET_NO_CAPTURE]) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  s->capture = new graph_t, s->broken = CUDA_SUCCESS;
  capturing = s;
  return CUDA_SUCCESS;
}
API CUresult cuStreamEndCapture(CUstream h, CUgraph *out) {
  CONTEXT;
  stream_t *s = (stream_t *)h;
  *out = nullptr;
  if (!s->capture) return CUDA_ERROR_ILLEGAL_STATE;
  if (capturing != s) return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
  capturing = nullptr;
  if (s->broken) delete s->capture;
  else *out = (CUgraph)s->capture;
  s->capture = nullptr;
  return s->broken;
}
API CUresult cuGraphInstantiateWithFlags(CUgraphExec *out, CUgraph g, unsigned long long) {
  CONTEXT;
  *out = nullptr;
  if (settings[SET_NO_INSTANTIATE]) return CUDA_ERROR_NOT_SUPPORTED;
  counters[COUNT_GRAPHS]++;
  *out = (CUgraphExec) new exec_t{std::make_shared<const std::vector<work>>(((graph_t *)g)->nodes)};
  return CUDA_SUCCESS;
}
API CUresult cuGraphDestroy(CUgraph g) {
  LOCK;
  delete (graph_t *)g;
  return CUDA_SUCCESS;
}
API CUresult cuGraphLaunch(CUgraphExec e, CUstream h) {
  CONTEXT;
  auto nodes = ((exec_t *)e)->nodes;
  return enqueue((stream_t *)h, [nodes] {
    for (const work &w : *nodes)
      if (CUresult rc = w()) return rc;
    return CUDA_SUCCESS;
  });
}
API CUresult cuGraphExecDestroy(CUgraphExec e) {
  LOCK;
  counters[COUNT_GRAPHS]--;
  delete (exec_t *)e;
  return CUDA_SUCCESS;
}
