// operation.h: the encoding of a List, and what walks it. An operation is a run of 64-bit words: the first has the kind in its low
// byte and, above it, what is named in brackets; lo and hi are the halves of a word.
//
//   launch [arguments << 8]                    function, grid x y, grid z block x, block y z, shared early, arguments...
//   gemm   [transposed << 8, in << 16, out << 24]  m n, k batch, A, lda, strideA, B, ldb, strideB, C, ldc, strideC, alpha beta
//   biased                                     m n, k -, A, B, C, bias, plan
//   copy                                       to, from, bytes
//   set    [value << 8]                        to, bytes
#ifndef GLOSSA_OPERATION_H
#define GLOSSA_OPERATION_H
#include <cuda.h>

enum { MAX_PARAMS = 128 };
enum { OP_LAUNCH = 1, OP_GEMM = 2, OP_COPY = 3, OP_SET = 4, OP_BIASED = 5 };

// cuBLAS's functions, found at run time; see cublas.c.
typedef struct { void *handle, *lt, *workspace; size_t bytes; } blas_t;

// lt_plan_t is how cuBLASLt computes products of one shape: C (m, n) = A (m, k) B (n, k)' + beta C + bias.
typedef struct { void *operation, *a, *b, *c; uint64_t algorithm[8]; float beta; } lt_plan_t;

// failure says what went wrong, if anything: at the word `at`, CUDA's result or cuBLAS's status.
typedef struct { int cuda, blas; size_t at; } failure_t;

// run_words puts n words of operations on the stream.
failure_t run_words(const uint64_t *words, size_t n, CUstream stream, blas_t *blas);

// capture_words makes a graph of them. Where it cannot, *exec is 0, and the stream is as it was.
failure_t capture_words(const uint64_t *words, size_t n, CUstream stream, blas_t *blas, CUgraphExec *exec);

// load_module compiles PTX for the device; text receives the compiler's errors.
CUresult load_module(CUmodule *module, const char *ptx, char *text, size_t n);

// blas_load opens the first library of names, which ends with 0. It returns 0, or what went wrong.
const char *blas_load(const char *const *names);
int blas_create(blas_t *blas);
int blas_version(blas_t *blas, int *version);
int blas_use(blas_t *blas, CUstream stream, CUdeviceptr workspace, size_t bytes);
int blas_destroy(blas_t *blas);
int blas_gemm(blas_t *blas, const uint64_t *w);

// lt_create makes cuBLASLt ready, for which blas->lt is 0 where it is not there. lt_plan returns 0 where it does not have such products.
void lt_create(blas_t *blas);
void lt_destroy(blas_t *blas);
lt_plan_t *lt_plan(blas_t *blas, int m, int n, int k, int in, int out, float beta);
void lt_free(lt_plan_t *plan);
int lt_biased(blas_t *blas, const uint64_t *w, CUstream stream);

// lt_find looks for cuBLASLt's functions in a library, or in what it depends on.
void lt_find(void *library);
#endif
