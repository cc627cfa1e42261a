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
struct product { int m, n, k, batch; float alpha, beta; operand a, b; void *c; int ctype, ldc; long long cstride; const float *bias; /* of rows, or 0 */ };

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
          store(g.c, o, g.ctype, g.alpha * (float)sum[i] + (g.beta ? g.beta * load(g.c, o, g.ctype) : 0) + (g.bias ? g.bias[i0 + i] : 0));
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

static int queue(stream_t *stream, bool workspace, const product &g, int compute) {
  if (!current || !stream) return NOT_INITIALIZED;
  if (current->lost) return EXECUTION_FAILED;
  bool types = g.a.type == g.b.type && (g.ctype == g.a.type || g.ctype == F32) && (g.a.type == F32 || g.a.type == F16 || g.a.type == BF16);
  if (!types || compute != COMPUTE_32F) return NOT_SUPPORTED;
  int am = g.a.transposed ? g.k : g.m, an = g.a.transposed ? g.m : g.k, bm = g.b.transposed ? g.n : g.k, bn = g.b.transposed ? g.k : g.n;
  if (g.m < 0 || g.n < 0 || g.k < 0 || g.batch < 0 || g.a.ld < am || g.b.ld < bm || g.ldc < g.m) return INVALID;
  if (!g.m || !g.n || !g.batch) return OK;
  if (capturing && !workspace) { /* the library would allocate */
    capturing->broken = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    return INTERNAL;
  }
  arena *m = current->memory;
  enqueue(stream, [=] {
    counters[COUNT_PRODUCTS]++;
    if (!holds(m, g.a.p, g.a.type, am, an, g.a.ld, g.a.stride, g.batch) || !holds(m, g.b.p, g.b.type, bm, bn, g.b.ld, g.b.stride, g.batch) ||
        !holds(m, g.c, g.ctype, g.m, g.n, g.ldc, g.cstride, g.batch) || (g.bias && !holds(m, g.bias, F32, g.m, 1, g.m, 0, 1)))
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
  blas_t *b = (blas_t *)h;
  return queue(b->stream, b->workspace, product{m, n, k, batch, *alpha, *beta, {A, at, lda, ta, sa}, {B, bt, ldb, tb, sb}, C, ct, ldc, sc, nullptr}, compute);
}
API int cublasGemmEx(void *h, int ta, int tb, int m, int n, int k, const float *alpha, const void *A, int at, int lda, const void *B, int bt,
                     int ldb, const float *beta, void *C, int ct, int ldc, int compute, int) {
  LOCK;
  blas_t *b = (blas_t *)h;
  return queue(b->stream, b->workspace, product{m, n, k, 1, *alpha, *beta, {A, at, lda, ta, 0}, {B, bt, ldb, tb, 0}, C, ct, ldc, 0, nullptr}, compute);
}

/* ---- cuBLASLt: products of 16 bits to float32 with a bias ---- */
enum { DESC_TRANSA = 3, DESC_TRANSB = 4, DESC_EPILOGUE = 7, DESC_BIAS_POINTER = 8, EPILOGUE_BIAS = 4, MAX_WORKSPACE_BYTES = 1 };
struct lt_desc { int compute, ta = 0, tb = 0, epilogue = 1; const float *bias = nullptr; };
struct lt_layout { int type; uint64_t rows, cols; int64_t ld; };
struct lt_heuristic { uint64_t algorithm[8]; size_t workspace; int state; float waves; int reserved[4]; };
static const uint64_t lt_algorithm = 0x616c676f, lt_workspace = 4096; /* what is chosen, and what it needs */

API int cublasLtCreate(void **h) {
  LOCK;
  if (!current || getenv("FAKECUDA_NO_CUBLASLT")) return NOT_INITIALIZED;
  *h = new int;
  return OK;
}
API int cublasLtDestroy(void *h) { delete (int *)h; return OK; }
API int cublasLtMatmulDescCreate(void **d, int compute, int scale) {
  if (scale != F32) return NOT_SUPPORTED;
  *d = new lt_desc{compute};
  return OK;
}
API int cublasLtMatmulDescDestroy(void *d) { delete (lt_desc *)d; return OK; }
API int cublasLtMatmulDescSetAttribute(void *desc, int attribute, const void *value, size_t n) {
  lt_desc *d = (lt_desc *)desc;
  if (n != (attribute == DESC_BIAS_POINTER ? sizeof(void *) : sizeof(int))) return INVALID;
  switch (attribute) {
  case DESC_TRANSA: d->ta = *(const int *)value; break;
  case DESC_TRANSB: d->tb = *(const int *)value; break;
  case DESC_EPILOGUE: d->epilogue = *(const int *)value; break;
  case DESC_BIAS_POINTER: d->bias = *(const float *const *)value; break;
  default: return NOT_SUPPORTED;
  }
  return OK;
}
API int cublasLtMatrixLayoutCreate(void **l, int type, uint64_t rows, uint64_t cols, int64_t ld) {
  *l = new lt_layout{type, rows, cols, ld};
  return OK;
}
API int cublasLtMatrixLayoutDestroy(void *l) { delete (lt_layout *)l; return OK; }
API int cublasLtMatmulPreferenceCreate(void **p) { *p = new uint64_t(0); return OK; }
API int cublasLtMatmulPreferenceDestroy(void *p) { delete (uint64_t *)p; return OK; }
API int cublasLtMatmulPreferenceSetAttribute(void *p, int attribute, const void *value, size_t n) {
  if (attribute != MAX_WORKSPACE_BYTES || n != sizeof(uint64_t)) return INVALID;
  *(uint64_t *)p = *(const uint64_t *)value;
  return OK;
}

static bool lt_product(product &g, const lt_desc *d, const lt_layout *a, const lt_layout *b, const lt_layout *c) {
  g.m = (int)(d->ta ? a->cols : a->rows), g.k = (int)(d->ta ? a->rows : a->cols), g.n = (int)(d->tb ? b->rows : b->cols), g.batch = 1;
  g.a.type = a->type, g.a.ld = (int)a->ld, g.a.transposed = d->ta, g.a.stride = 0;
  g.b.type = b->type, g.b.ld = (int)b->ld, g.b.transposed = d->tb, g.b.stride = 0;
  g.ctype = c->type, g.ldc = (int)c->ld, g.cstride = 0;
  return (int)(d->tb ? b->cols : b->rows) == g.k && (int)c->rows == g.m && (int)c->cols == g.n;
}
API int cublasLtMatmulAlgoGetHeuristic(void *, void *desc, void *a, void *b, void *c, void *, void *preference, int asked, lt_heuristic *result, int *found) {
  product g{};
  if (asked < 1 || !lt_product(g, (lt_desc *)desc, (lt_layout *)a, (lt_layout *)b, (lt_layout *)c)) return INVALID;
  *found = 0;
  if (((lt_desc *)desc)->epilogue != EPILOGUE_BIAS || g.ctype != F32 || g.a.type == F32 || *(uint64_t *)preference < lt_workspace) return NOT_SUPPORTED;
  *result = {};
  result->algorithm[0] = lt_algorithm, result->workspace = lt_workspace;
  *found = 1;
  return OK;
}
API int cublasLtMatmul(void *, void *desc, const float *alpha, const void *A, void *a, const void *B, void *b, const float *beta, const void *C,
                       void *c, void *D, void *, const uint64_t *algorithm, void *workspace, size_t n, CUstream s) {
  LOCK;
  lt_desc *d = (lt_desc *)desc;
  product g{};
  if (!lt_product(g, d, (lt_layout *)a, (lt_layout *)b, (lt_layout *)c) || algorithm[0] != lt_algorithm || C != D || !d->bias || n < lt_workspace) return INVALID;
  if ((uintptr_t)A % 256 || (uintptr_t)B % 256 || (uintptr_t)D % 256) return INVALID; /* what the preferences say by default */
  if (!current || !arena_holds(current->memory, (CUdeviceptr)workspace, n)) return INVALID;
  g.alpha = *alpha, g.beta = *beta, g.a.p = A, g.b.p = B, g.c = D, g.bias = d->bias;
  return queue((stream_t *)s, true, g, d->compute);
}
