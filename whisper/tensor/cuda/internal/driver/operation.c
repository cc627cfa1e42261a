//go:build cuda && linux

#include "operation.h"

static unsigned lo(uint64_t w) { return (unsigned)w; }
static unsigned hi(uint64_t w) { return (unsigned)(w >> 32); }

static CUresult launch(const uint64_t *w, unsigned arguments, CUstream stream) {
  void *params[MAX_PARAMS];
  if (arguments > MAX_PARAMS) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < arguments; i++) params[i] = (void *)(w + 6 + i);
  if (hi(w[5])) {  // the kernel may come onto the device before the one before it has ended, for which it waits itself
    CUlaunchAttribute early = { .id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION };
    early.value.programmaticStreamSerializationAllowed = 1;
    CUlaunchConfig config = { lo(w[2]), hi(w[2]), lo(w[3]), hi(w[3]), lo(w[4]), hi(w[4]), lo(w[5]), stream, &early, 1 };
    CUresult rc = cuLaunchKernelEx(&config, (CUfunction)w[1], params, 0);
    if (rc != CUDA_ERROR_NOT_FOUND) return rc;  // a driver that does not have the function
  }
  return cuLaunchKernel((CUfunction)w[1], lo(w[2]), hi(w[2]), lo(w[3]), hi(w[3]), lo(w[4]), hi(w[4]), lo(w[5]), stream, params, 0);
}

failure_t run_words(const uint64_t *words, size_t n, CUstream stream, blas_t *blas) {
  failure_t f = { 0, 0, 0 };
  for (size_t at = 0; at < n;) {
    const uint64_t *w = words + at;
    f.at = at;
    switch (w[0] & 255) {
    case OP_LAUNCH: {
      unsigned arguments = (unsigned)(w[0] >> 8);
      f.cuda = launch(w, arguments, stream);
      at += 6 + arguments;
      break;
    }
    case OP_GEMM: f.blas = blas_gemm(blas, w); at += 13; break;
    case OP_BIASED: f.blas = lt_biased(blas, w, stream); at += 8; break;
    case OP_COPY: f.cuda = cuMemcpyDtoDAsync(w[1], w[2], w[3], stream); at += 4; break;
    case OP_SET: f.cuda = cuMemsetD8Async(w[1], (unsigned char)(w[0] >> 8), w[2], stream); at += 3; break;
    default: f.cuda = CUDA_ERROR_INVALID_VALUE;
    }
    if (f.cuda || f.blas) return f;
  }
  return f;
}

failure_t capture_words(const uint64_t *words, size_t n, CUstream stream, blas_t *blas, CUgraphExec *exec) {
  *exec = 0;
  failure_t f = { 0, 0, 0 };
  if ((f.cuda = cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))) return f;
  f = run_words(words, n, stream, blas);
  CUgraph graph = 0;
  CUresult rc = cuStreamEndCapture(stream, &graph);  // ends the capture also where an operation failed
  if (!f.cuda && !f.blas) f.cuda = rc;
  if (!f.cuda && !f.blas && graph) f.cuda = cuGraphInstantiateWithFlags(exec, graph, 0);
  if (f.cuda || f.blas) *exec = 0;
  if (graph) cuGraphDestroy(graph);
  return f;
}

CUresult load_module(CUmodule *module, const char *ptx, char *text, size_t n) {
  CUjit_option options[] = { CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES };
  void *values[] = { text, (void *)(uintptr_t)n };
  text[0] = 0;
  CUresult rc = cuModuleLoadDataEx(module, ptx, 2, options, values);
  text[n - 1] = 0;
  return rc;
}
