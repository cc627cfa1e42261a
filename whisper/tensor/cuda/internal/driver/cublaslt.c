//go:build cuda && linux

// The calls of cuBLASLt that the backend makes: products with a bias. libcublas depends on it, so that its functions are found there, and
// are of the same version. The prototypes and numbers are from the public documentation; they are the same from 11 to 13.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include "operation.h"

enum { R_32F = 0, COMPUTE_32F = 68, OP_T = 1, EPILOGUE_BIAS = 4, NOT_INITIALIZED = 1 };
enum { DESC_TRANSA = 3, DESC_EPILOGUE = 7, DESC_BIAS_POINTER = 8 };  // cublasLtMatmulDescAttributes_t
enum { PREFERENCE_MAX_WORKSPACE_BYTES = 1 };                        // cublasLtMatmulPreferenceAttributes_t

// cublasLtMatmulHeuristicResult_t
typedef struct { uint64_t algorithm[8]; size_t workspace; int state; float waves; int reserved[4]; } heuristic_t;

static int (*create)(void **);
static int (*destroy)(void *);
static int (*desc_create)(void **, int compute, int scale);
static int (*desc_destroy)(void *);
static int (*desc_set)(void *, int attribute, const void *value, size_t);
static int (*layout_create)(void **, int type, uint64_t rows, uint64_t cols, int64_t ld);
static int (*layout_destroy)(void *);
static int (*preference_create)(void **);
static int (*preference_destroy)(void *);
static int (*preference_set)(void *, int attribute, const void *value, size_t);
static int (*heuristic)(void *, void *desc, void *a, void *b, void *c, void *d, void *preference, int asked, heuristic_t *, int *found);
static int (*matmul)(void *, void *desc, const void *alpha, const void *A, void *a, const void *B, void *b, const void *beta, const void *C,
                     void *c, void *D, void *d, const uint64_t *algorithm, void *workspace, size_t, CUstream);

static const struct { const char *name; void **function; } symbols[] = {
  { "cublasLtCreate", (void **)&create }, { "cublasLtDestroy", (void **)&destroy },
  { "cublasLtMatmulDescCreate", (void **)&desc_create }, { "cublasLtMatmulDescDestroy", (void **)&desc_destroy },
  { "cublasLtMatmulDescSetAttribute", (void **)&desc_set },
  { "cublasLtMatrixLayoutCreate", (void **)&layout_create }, { "cublasLtMatrixLayoutDestroy", (void **)&layout_destroy },
  { "cublasLtMatmulPreferenceCreate", (void **)&preference_create }, { "cublasLtMatmulPreferenceDestroy", (void **)&preference_destroy },
  { "cublasLtMatmulPreferenceSetAttribute", (void **)&preference_set },
  { "cublasLtMatmulAlgoGetHeuristic", (void **)&heuristic }, { "cublasLtMatmul", (void **)&matmul },
};
static int found;

void lt_find(void *library) {
  for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++)
    if (!(*symbols[i].function = dlsym(library, symbols[i].name))) return;
  found = 1;
}

void lt_create(blas_t *b) {
  if (!found || create(&b->lt)) b->lt = 0;
}
void lt_destroy(blas_t *b) {
  if (b->lt) destroy(b->lt);
  b->lt = 0;
}

void lt_free(lt_plan_t *p) {
  if (p->operation) desc_destroy(p->operation);
  if (p->a) layout_destroy(p->a);
  if (p->b) layout_destroy(p->b);
  if (p->c) layout_destroy(p->c);
  free(p);
}

// describe makes the descriptions of a plan. A row-major C = A B' is the column-major C' = B A', with B (k, n) and A (k, m) as stored.
static int describe(lt_plan_t *p, int m, int n, int k, int in, int out) {
  int t = OP_T, epilogue = EPILOGUE_BIAS, rc;
  if ((rc = desc_create(&p->operation, COMPUTE_32F, R_32F))) return rc;
  if ((rc = desc_set(p->operation, DESC_TRANSA, &t, sizeof t))) return rc;
  if ((rc = desc_set(p->operation, DESC_EPILOGUE, &epilogue, sizeof epilogue))) return rc;
  if ((rc = layout_create(&p->a, in, (uint64_t)k, (uint64_t)n, k))) return rc;
  if ((rc = layout_create(&p->b, in, (uint64_t)k, (uint64_t)m, k))) return rc;
  return layout_create(&p->c, out, (uint64_t)n, (uint64_t)m, n);
}

// choose asks for the algorithm that is expected to be the fastest.
static int choose(blas_t *blas, lt_plan_t *p) {
  void *preference = 0;
  int rc = preference_create(&preference), n = 0;
  if (rc) return rc;
  uint64_t bytes = blas->bytes;
  heuristic_t best = { 0 };
  if (!(rc = preference_set(preference, PREFERENCE_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes)) &&
      !(rc = heuristic(blas->lt, p->operation, p->a, p->b, p->c, p->c, preference, 1, &best, &n)))
    rc = n < 1 || best.workspace > bytes ? NOT_INITIALIZED : best.state;
  preference_destroy(preference);
  for (int i = 0; i < 8; i++) p->algorithm[i] = best.algorithm[i];
  return rc;
}

lt_plan_t *lt_plan(blas_t *blas, int m, int n, int k, int in, int out, float beta) {
  lt_plan_t *p = blas->lt ? calloc(1, sizeof *p) : 0;
  if (!p) return 0;
  p->beta = beta;
  if (!describe(p, m, n, k, in, out) && !choose(blas, p)) return p;
  lt_free(p);
  return 0;
}

int lt_biased(blas_t *blas, const uint64_t *w, CUstream stream) {
  lt_plan_t *p = (lt_plan_t *)w[7];
  void *bias = (void *)w[6], *C = (void *)w[5];
  float alpha = 1;
  int rc = desc_set(p->operation, DESC_BIAS_POINTER, &bias, sizeof bias);
  if (rc) return rc;
  return matmul(blas->lt, p->operation, &alpha, (const void *)w[4], p->a, (const void *)w[3], p->b, &p->beta, C, p->c, C, p->c, p->algorithm,
                blas->workspace, blas->bytes, stream);
}
