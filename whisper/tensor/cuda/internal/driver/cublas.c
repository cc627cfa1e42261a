//go:build cuda && linux

// The calls of cuBLAS that the backend makes, found at run time: a program linked to one major version of the library does not
// start beside another. The prototypes are from the public documentation of cuBLAS; they are the same from 11 to 13.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include "operation.h"

enum { COMPUTE_32F = 68, DEFAULT_ALGORITHM = -1, NO_REDUCED_PRECISION_REDUCTION = 16, NOT_INITIALIZED = 1 };

static int (*create)(void **);
static int (*destroy)(void *);
static int (*set_stream)(void *, CUstream);
static int (*set_workspace)(void *, void *, size_t);
static int (*set_math)(void *, int);
static int (*get_version)(void *, int *);
static int (*gemm)(void *, int, int, int, int, int, const float *, const void *, int, int, const void *, int, int, const float *, void *,
                   int, int, int, int);
static int (*gemm_batched)(void *, int, int, int, int, int, const float *, const void *, int, int, long long, const void *, int, int,
                           long long, const float *, void *, int, int, long long, int, int, int);

static const struct { const char *name; void **function; } symbols[] = {
  { "cublasCreate_v2", (void **)&create }, { "cublasDestroy_v2", (void **)&destroy },
  { "cublasSetStream_v2", (void **)&set_stream }, { "cublasSetWorkspace_v2", (void **)&set_workspace },
  { "cublasSetMathMode", (void **)&set_math }, { "cublasGetVersion_v2", (void **)&get_version },
  { "cublasGemmEx", (void **)&gemm }, { "cublasGemmStridedBatchedEx", (void **)&gemm_batched },
};

const char *blas_load(const char *const *names) {
  static char text[1024];
  size_t used = 0;
  text[0] = 0;
  void *lib = 0;
  for (; *names && !lib; names++) {
    lib = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
    if (!lib && used < sizeof text) used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? "; " : "", dlerror());
  }
  if (!lib) return text;
  for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++)
    if (!(*symbols[i].function = dlsym(lib, symbols[i].name))) {
      snprintf(text, sizeof text, "the library has no %s", symbols[i].name);
      return text;
    }
  lt_find(lib);
  return 0;
}

int blas_create(blas_t *b) {
  int rc = create(&b->handle);
  if (rc) return rc;
  lt_create(b);
  return set_math(b->handle, NO_REDUCED_PRECISION_REDUCTION);
}
int blas_version(blas_t *b, int *version) { return get_version(b->handle, version); }
int blas_destroy(blas_t *b) {
  lt_destroy(b);
  return destroy(b->handle);
}

// A stream puts the library's own workspace back, so the workspace comes after it. A captured graph keeps the address.
int blas_use(blas_t *b, CUstream stream, CUdeviceptr workspace, size_t bytes) {
  b->workspace = (void *)workspace, b->bytes = bytes;
  int rc = set_stream(b->handle, stream);
  return rc ? rc : set_workspace(b->handle, (void *)workspace, bytes);
}

// A row-major C = op(A) op(B) is the column-major C' = op(B)' op(A)'.
int blas_gemm(blas_t *b, const uint64_t *w) {
  int ta = (int)(w[0] >> 8 & 1), tb = (int)(w[0] >> 9 & 1), in = (int)(w[0] >> 16 & 255), out = (int)(w[0] >> 24 & 255);
  int m = (int)(uint32_t)w[1], n = (int)(w[1] >> 32), k = (int)(uint32_t)w[2], batch = (int)(w[2] >> 32);
  uint32_t halves[2] = { (uint32_t)w[12], (uint32_t)(w[12] >> 32) };
  float scale[2];
  memcpy(scale, halves, sizeof scale);
  const void *A = (const void *)w[3], *B = (const void *)w[6];
  void *C = (void *)w[9];
  if (batch == 1)
    return gemm(b->handle, tb, ta, n, m, k, &scale[0], B, in, (int)w[7], A, in, (int)w[4], &scale[1], C, out, (int)w[10], COMPUTE_32F,
                DEFAULT_ALGORITHM);
  return gemm_batched(b->handle, tb, ta, n, m, k, &scale[0], B, in, (int)w[7], (long long)w[8], A, in, (int)w[4], (long long)w[5],
                      &scale[1], C, out, (int)w[10], (long long)w[11], batch, COMPUTE_32F, DEFAULT_ALGORITHM);
}
