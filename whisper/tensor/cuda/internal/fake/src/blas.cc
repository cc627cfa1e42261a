/* blas.cc: the products of cuBLAS, summed in double. Matrices are column-major, as there. */
#include <cstdlib>
#include "fake.h"

enum { OK = 0, NOT_INITIALIZED = 1, INVALID = 7, EXECUTION_FAILED = 13, INTERNAL = 14, NOT_SUPPORTED = 15 };
enum { F32 = 0, F16 = 2, BF16 = 14, COMPUTE_32F = 68 };

struct blas_t {
  stream_t *stream = nullptr;
  bool workspace = false;
};

static size_t bytes_of(int type) { return type == F32 ? 4 : 2; }
static float load(const void *p, size_t i, int type) {
  if (type == F32) return ((const float *)p)[i];
  unsigned short h = ((const unsigned short *)p)[i];
  return type == F16 ? kp_h2f(h) : kp_b2f(h);
}
static void store(void *p, size_t i, int type, float v) {
  if (type == F32) ((float *)p)[i] = v;
  else ((unsigned short *)p)[i] = type == F16 ? kp_f2h(v) : kp_f2b(v);
}

struct operand { const void *p; int type, ld, transposed; long long stride; };
struct product { int m, n, k, batch; float alpha, beta; operand a, b; void *c; int ctype, ldc; long long cstride; };

/* out (k, rows): the columns of op(a) one after the other. */
static void unpack(double *out, const operand &a, size_t base, int rows, int k) {
  for (int l = 0; l < k; l++)
    for (int i = 0; i < rows; i++)
      out[(size_t)l * rows + i] = load(a.p, base + (a.transposed ? (size_t)i * a.ld + l : (size_t)l * a.ld + i), a.type);
}

/* sum (m) += a (k, m) times the column b (k, by step). The innermost loop is over rows, so that it needs no reordering to be fast. */
#if defined(__x86_64__)
__attribute__((target_clones("avx2", "default")))
#endif
static void column(double *__restrict__ sum, const double *__restrict__ a, const double *__restrict__ b, int m, int k, size_t step) {
  for (int i = 0; i < m; i++) sum[i] = 0;
  int l = 0;
  for (; l + 4 <= k; l += 4) {
    const double *a0 = a + (size_t)l * m, *a1 = a0 + m, *a2 = a1 + m, *a3 = a2 + m;
    double b0 = b[l * step], b1 = b[(l + 1) * step], b2 = b[(l + 2) * step], b3 = b[(l + 3) * step];
    for (int i = 0; i < m; i++) sum[i] = sum[i] + a0[i] * b0 + a1[i] * b1 + a2[i] * b2 + a3[i] * b3;
  }
  for (; l < k; l++)
    for (int i = 0; i < m; i++) sum[i] += a[(size_t)l * m + i] * b[l * step];
}

static void multiply(const product &g) {
  const int rows = 256; /* of C at a time */
  std::vector<double> a, b((size_t)g.k * g.n), sum(rows);
  for (int q = 0; q < g.batch; q++) {
    operand bt = g.b;
    bt.transposed = !bt.transposed; /* op(B)' (n, k): its columns are the rows of op(B) */
    unpack(b.data(), bt, (size_t)(q * g.b.stride), g.n, g.k);
    for (int i0 = 0; i0 < g.m; i0 += rows) {
      int m = std::min(rows, g.m - i0);
      a.resize((size_t)m * g.k);
      unpack(a.data(), g.a, (size_t)(q * g.a.stride) + (g.a.transposed ? (size_t)i0 * g.a.ld : (size_t)i0), m, g.k);
      for (int j = 0; j < g.n; j++) {
        column(sum.data(), a.data(), b.data() + j, m, g.k, (size_t)g.n);
        for (int i = 0; i < m; i++) {
          size_t o = (size_t)(q * g.cstride) + (size_t)j * g.ldc + i0 + i;
          store(g.c, o, g.ctype, g.alpha * (float)sum[i] + (g.beta ? g.beta * load(g.c, o, g.ctype) : 0));
        }
      }
    }
  }
}

/* Whether all numbers of a matrix of `rows` by `cols` as stored, and of its batch, are in one allocation. */
static bool holds(arena *m, const void *p, int type, int rows, int cols, int ld, long long stride, int batch) {
  size_t n = (size_t)(cols - 1) * ld + rows + (size_t)((batch - 1) * stride);
  return arena_holds(m, (CUdeviceptr)p, n * bytes_of(type));
}

static int queue(blas_t *h, const product &g, int compute) {
  if (!current || !h->stream) return NOT_INITIALIZED;
  if (current->lost) return EXECUTION_FAILED;
  bool types = g.a.type == g.b.type && (g.ctype == g.a.type || g.ctype == F32) && (g.a.type == F32 || g.a.type == F16 || g.a.type == BF16);
  if (!types || compute != COMPUTE_32F) return NOT_SUPPORTED;
  int am = g.a.transposed ? g.k : g.m, an = g.a.transposed ? g.m : g.k, bm = g.b.transposed ? g.n : g.k, bn = g.b.transposed ? g.k : g.n;
  if (g.m < 0 || g.n < 0 || g.k < 0 || g.batch < 0 || g.a.ld < am || g.b.ld < bm || g.ldc < g.m) return INVALID;
  if (!g.m || !g.n || !g.batch) return OK;
  if (capturing && !h->workspace) { /* the library would allocate */
    capturing->broken = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    return INTERNAL;
  }
  arena *m = current->memory;
  enqueue(h->stream, [=] {
    counters[COUNT_PRODUCTS]++;
    if (!holds(m, g.a.p, g.a.type, am, an, g.a.ld, g.a.stride, g.batch) || !holds(m, g.b.p, g.b.type, bm, bn, g.b.ld, g.b.stride, g.batch) ||
        !holds(m, g.c, g.ctype, g.m, g.n, g.ldc, g.cstride, g.batch))
      return fault(CUDA_ERROR_ILLEGAL_ADDRESS, "a product of %d x %d x %d reads or writes outside an allocation", g.m, g.n, g.k);
    multiply(g);
    return arena_check(m, "a product");
  });
  return OK;
}

API int cublasCreate_v2(void **h) {
  LOCK;
  if (!current || getenv("FAKECUDA_NO_CUBLAS")) return NOT_INITIALIZED;
  *h = new blas_t;
  return OK;
}
API int cublasDestroy_v2(void *h) { delete (blas_t *)h; return OK; }
API int cublasSetStream_v2(void *h, CUstream s) {
  ((blas_t *)h)->stream = (stream_t *)s;
  ((blas_t *)h)->workspace = false; /* as the library does */
  return OK;
}
API int cublasSetWorkspace_v2(void *h, void *p, size_t n) {
  LOCK;
  if (!current || (uintptr_t)p % 256 || !arena_holds(current->memory, (CUdeviceptr)p, n)) return INVALID;
  ((blas_t *)h)->workspace = n > 0;
  return OK;
}
API int cublasSetMathMode(void *, int) { return OK; }
API int cublasGetVersion_v2(void *, int *v) { *v = 130000; return OK; }
API int cublasGemmStridedBatchedEx(void *h, int ta, int tb, int m, int n, int k, const float *alpha, const void *A, int at, int lda, long long sa,
                                   const void *B, int bt, int ldb, long long sb, const float *beta, void *C, int ct, int ldc, long long sc,
                                   int batch, int compute, int) {
  LOCK;
  return queue((blas_t *)h, product{m, n, k, batch, *alpha, *beta, {A, at, lda, ta, sa}, {B, bt, ldb, tb, sb}, C, ct, ldc, sc}, compute);
}
API int cublasGemmEx(void *h, int ta, int tb, int m, int n, int k, const float *alpha, const void *A, int at, int lda, const void *B, int bt,
                     int ldb, const float *beta, void *C, int ct, int ldc, int compute, int) {
  LOCK;
  return queue((blas_t *)h, product{m, n, k, 1, *alpha, *beta, {A, at, lda, ta, 0}, {B, bt, ldb, tb, 0}, C, ct, ldc, 0}, compute);
}
