/* fake.h: a CUDA driver and the cuBLAS calls of the backend on the CPU, for tests. Never shipped.
 *
 *   fibers.cc   blocks of threads                    memory.cc   allocations with guard zones
 *   streams.cc  queues that run late, graphs         api.cc      the driver's functions
 *   blas.cc     the products                         faults.cc   settings, counters, injected faults
 *
 * Work on a stream is queued when it is asked for and runs when somebody waits (FAKECUDA_MODE=late, the default), or on a thread of its
 * own meanwhile (FAKECUDA_MODE=thread). Either way it runs on one thread, the executor. Page-locked memory is read when the copy
 * runs; so a program that does not wait where it must is found out.
 */
#ifndef FAKE_H
#define FAKE_H
#include <condition_variable>
#include <cstdarg>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>
#include <cuda.h>
#include "kport_cpu.h"

#define API extern "C" __attribute__((visibility("default")))

/* ---- faults.cc ---- */
enum setting { SET_LOSE_AT, SET_NO_CAPTURE, SET_NO_INSTANTIATE, SET_MEMORY, SET_SEED, SETTINGS };
extern long long settings[SETTINGS];
enum counter { COUNT_KERNELS, COUNT_PRODUCTS, COUNT_GRAPHS, COUNT_ALLOCATIONS, COUNT_BYTES, COUNT_HOST, COUNT_FAULTS, COUNTERS };
extern long long counters[COUNTERS];
/* Notes a fault: text is printed, and comes out of cuGetErrorString for this code. Returns the code. */
CUresult fault(CUresult code, const char *format, ...) __attribute__((format(printf, 2, 3)));
std::string fault_text(CUresult code);
void forget_faults();

/* ---- memory.cc ---- */
struct arena;
arena *make_arena(size_t limit);
void destroy_arena(arena *);
CUresult arena_alloc(arena *, CUdeviceptr *, size_t);
CUresult arena_free(arena *, CUdeviceptr);
bool arena_range(arena *, CUdeviceptr, CUdeviceptr *base, size_t *size);
/* Whether n bytes at p are all in one allocation. */
bool arena_holds(arena *, CUdeviceptr p, size_t n);
size_t arena_limit(arena *);
size_t arena_used(arena *);
/* Whether the guard zones and the free memory are as they were left; if not, a fault that names `what`. */
CUresult arena_check(arena *, const char *what);

/* ---- fibers.cc ---- */
struct launch_t {
  const kp_kernel *kernel;
  kp_dim3 grid, block;
  unsigned shared;
  std::vector<char> args; /* 8 bytes each */
};
CUresult run_kernel(launch_t &);
void fiber_thread_start();

/* ---- streams.cc ---- */
struct context;
/* Work: returns a fault, or success. */
typedef std::function<CUresult()> work;
struct graph_t { std::vector<work> nodes; };
struct exec_t { std::shared_ptr<const std::vector<work>> nodes; };
struct stream_t {
  context *owner;
  bool blocking;
  std::deque<work> queue;
  unsigned long long queued = 0, ran = 0, wanted = 0; /* pieces of work; somebody waits for those up to wanted */
  graph_t *capture = nullptr;
  CUresult broken = CUDA_SUCCESS; /* why the capture is of no use */
};
struct event_t {
  stream_t *stream = nullptr;
  unsigned long long at = 0; /* what must have run */
  std::shared_ptr<double> time = std::make_shared<double>(0.0);
};
struct context {
  int device;
  int retained = 0;
  arena *memory = nullptr;
  CUresult lost = CUDA_SUCCESS;
  std::vector<stream_t *> streams;
};
extern std::mutex big_lock; /* held by every call of the API, and while work runs */
#define LOCK std::unique_lock<std::mutex> lock(big_lock)
extern thread_local context *current;
extern thread_local stream_t *capturing; /* by this thread */
/* Begins a call that needs a context. */
#define CONTEXT \
  LOCK; \
  if (!current) return CUDA_ERROR_INVALID_CONTEXT; \
  if (current->lost) return current->lost
/* Begins what may not be called while this thread captures. */
#define WAITING \
  if (capturing) { capturing->broken = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED; return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED; }
/* Queues work, or adds it to the graph that is being captured. */
CUresult enqueue(stream_t *, work);
/* Waits until a stream has run its work up to number `to`. Returns why the context is lost, if it is. */
CUresult drain(std::unique_lock<std::mutex> &, stream_t *, unsigned long long to);
CUresult drain_all(std::unique_lock<std::mutex> &, context *);
double seconds();
#endif
