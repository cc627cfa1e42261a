/* kport_emulate.h - what kport.h names and the fake driver's kport_cpu.h does not have: the CPU's side of it. */
#ifndef KPORT_EMULATE_H
#define KPORT_EMULATE_H
#include <cmath>
#include <cstring>

#define KP_KERNEL(name) KP_GLOBAL void name
#define KP_KERNEL_OF(name, threads, blocks) KP_GLOBAL void name
#define KP_SHARED __shared__
#define KP_UNROLL
#define KP_ROLL

KP_DEV int kp_tid() { return threadIdx.x; }
KP_DEV int kp_bid_x() { return blockIdx.x; }
KP_DEV int kp_bid_y() { return blockIdx.y; }
KP_DEV int kp_bid_z() { return blockIdx.z; }
KP_DEV int kp_bdim() { return blockDim.x; }
KP_DEV int kp_gdim_y() { return gridDim.y; }
KP_DEV int kp_gdim_z() { return gridDim.z; }
KP_DEV void kp_sync() { __syncthreads(); }
KP_DEV float kp_exp2_flushed(float x) {
  float y = exp2f(x);
  return y < 0x1p-126f ? 0.0f : y;
}
KP_DEV kp_uint4 kp_stream16(const kp_uint4 *from) { return *from; }
KP_DEV void kp_fence() {}
KP_DEV void kp_prefetch(const void *) {}
KP_DEV void kp_let_next() {}
KP_DEV void kp_await() {}
KP_DEV float kp_reciprocal(float x) { return 1.0f / x; }
KP_DEV float kp_log2(float x) { return log2f(x); }
KP_DEV float kp_float(unsigned bits) { float f; memcpy(&f, &bits, 4); return f; }
KP_DEV unsigned kp_bits(float x) { unsigned u; memcpy(&u, &x, 4); return u; }
KP_DEV unsigned kp_half_bits(float x) { return kp_f2h(x); }
KP_DEV float kp_half_value(unsigned bits) { return kp_h2f((unsigned short)bits); }

struct kp_fragments { unsigned a[4], b[2]; float *d; };
/* A number of a word of fragments */
static inline float kp_part(kp_bf16, unsigned word, int high) { return kp_b2f((unsigned short)(word >> 16 * high)); }
static inline float kp_part(kp_half, unsigned word, int high) { return kp_h2f((unsigned short)(word >> 16 * high)); }

/* The fragments are those of the PTX manual, "Matrix Fragments for mma.m16n8k16 with floating point type", and "for mma.m16n8k8": the first
 * depth columns of a and rows of b. */
template <class T, int depth> static inline void kp_multiply(void *const *lanes, unsigned n) {
  (void)n;
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; lane++) {
    const kp_fragments *f = (const kp_fragments *)lanes[lane];
    int g = lane / 4, c = lane % 4 * 2;
    for (int i = 0; i < depth / 2; i++) a[g + i / 2 % 2 * 8][c + i % 2 + i / 4 * 8] = kp_part(T(), f->a[i / 2], i % 2);
    for (int i = 0; i < depth / 4; i++) b[c + i % 2 + i / 2 * 8][g] = kp_part(T(), f->b[i / 2], i % 2);
  }
  for (int lane = 0; lane < 32; lane++) {
    float *d = ((const kp_fragments *)lanes[lane])->d;
    for (int i = 0; i < 4; i++) {
      float sum = 0;
      for (int k = 0; k < depth; k++) sum += a[lane / 4 + i / 2 * 8][k] * b[k][lane % 4 * 2 + i % 2];
      d[i] += sum;
    }
  }
}
#if defined(KPORT_SM80)
template <class T> KP_DEV void kp_mma(T, float d[4], const unsigned a[4], unsigned b0, unsigned b1) {
  kp_fragments mine = {{a[0], a[1], a[2], a[3]}, {b0, b1}, d};
  kp_warp(kp_multiply<T, 16>, &mine);
}

/* Each lane names a row of 8 numbers, lanes 0-7 those of the first matrix, 8-15 of the second, and so on. Lane i gets of row i/4 of each matrix the
 * numbers 2(i%4) and the next; across, of column i/4 those of rows 2(i%4) and the next (PTX manual, "ldmatrix"). */
struct kp_rows { const unsigned short *row; unsigned *d; };
template <bool across> static inline void kp_load_matrices(void *const *lanes, unsigned n) {
  (void)n;
  for (int lane = 0; lane < 32; lane++) {
    unsigned *d = ((const kp_rows *)lanes[lane])->d;
    int g = lane / 4, c = lane % 4 * 2;
    for (int m = 0; m < 4; m++) {
      unsigned x[2];
      for (int i = 0; i < 2; i++) x[i] = ((const kp_rows *)lanes[m * 8 + (across ? c + i : g)])->row[across ? g : c + i];
      d[m] = x[0] | x[1] << 16;
    }
  }
}
KP_DEV void kp_matrices(unsigned d[4], const void *row) {
  kp_rows mine = {(const unsigned short *)row, d};
  kp_warp(kp_load_matrices<false>, &mine);
}
KP_DEV void kp_matrices_across(unsigned d[4], const void *row) {
  kp_rows mine = {(const unsigned short *)row, d};
  kp_warp(kp_load_matrices<true>, &mine);
}

/* In every other block copies arrive when they are waited for and not before, so that a wait that lacks shows; in the others at once, so
 * that a copy to what is still read does. */
struct kp_copies { const void *from[64]; void *to[64]; int group[64], n, committed; };
static inline kp_copies *kp_my_copies() {
  static thread_local kp_copies all[512];
  return &all[threadIdx.x];
}
KP_DEV void kp_copy16(void *shared, const void *global) {
  if ((blockIdx.x + blockIdx.y) & 1) {
    memcpy(shared, global, 16);
    return;
  }
  kp_copies *c = kp_my_copies();
  c->to[c->n] = shared, c->from[c->n] = global, c->group[c->n++] = c->committed;
}
KP_DEV void kp_copy16_or_zeros(void *shared, const void *global, bool there) {
  static const kp_uint4 zeros = {0, 0, 0, 0};
  kp_copy16(shared, there ? global : &zeros);
}
KP_DEV void kp_copy_commit() { kp_my_copies()->committed++; }
template <int left> KP_DEV void kp_copy_wait() {
  kp_copies *c = kp_my_copies();
  int kept = 0;
  for (int i = 0; i < c->n; i++)
    if (c->group[i] < c->committed - left)
      memcpy(c->to[i], c->from[i], 16);
    else
      c->to[kept] = c->to[i], c->from[kept] = c->from[i], c->group[kept++] = c->group[i];
  c->n = kept;
}

/* A warp has 16 rows of a product of a warpgroup, and computes them when they are waited for, from what a and the tile are then. */
struct kp_product { const unsigned *a; float *d; kp_u64 tile; bool add, across, half; int group; };
struct kp_products { kp_product list[32]; int n, committed; };
static inline kp_products *kp_my_products() {
  static thread_local kp_products all[512];
  return &all[threadIdx.x];
}
/* Number c of row r of a tile that begins at an address: the words of a row are exchanged by the bits of the address that tell it. */
static inline unsigned kp_tile_bits(kp_u64 tile, int r, int c) {
  kp_u64 at = tile + r * 128 + c * 2;
  return *(const unsigned short *)(at ^ (at >> 7 & 7) << 4);
}
static inline void kp_group_compute(void *const *lanes, unsigned n) {
  (void)n;
  const kp_product *p = (const kp_product *)lanes[0];
  auto wide = [&](unsigned bits) { return p->half ? kp_h2f((unsigned short)bits) : kp_b2f((unsigned short)bits); };
  float a[16][16], b[16][64];
  for (int lane = 0; lane < 32; lane++) {
    const unsigned *w = ((const kp_product *)lanes[lane])->a;
    for (int i = 0; i < 8; i++) a[lane / 4 + i / 2 % 2 * 8][lane % 4 * 2 + i % 2 + i / 4 * 8] = wide(w[i / 2] >> 16 * (i % 2));
  }
  for (int k = 0; k < 16; k++)
    for (int j = 0; j < 64; j++) b[k][j] = wide(p->across ? kp_tile_bits(p->tile, k, j) : kp_tile_bits(p->tile, j, k));
  for (int lane = 0; lane < 32; lane++) {
    float *d = ((const kp_product *)lanes[lane])->d;
    for (int i = 0; i < 32; i++) {
      float sum = 0;
      for (int k = 0; k < 16; k++) sum += a[lane / 4 + i / 2 % 2 * 8][k] * b[k][i / 4 * 8 + lane % 4 * 2 + i % 2];
      d[i] = p->add ? d[i] + sum : sum;
    }
  }
}
KP_DEV bool kp_is_half(kp_bf16) { return false; }
KP_DEV bool kp_is_half(kp_half) { return true; }
KP_DEV kp_u64 kp_tile(const void *shared) { return (kp_u64)(uintptr_t)shared; }
KP_DEV kp_u64 kp_tile_behind(kp_u64 tile, unsigned bytes) { return tile + bytes; }
template <bool across, class T> KP_DEV void kp_group_multiply(T, float d[32], const unsigned a[4], kp_u64 tile, bool add) {
  kp_products *p = kp_my_products();
  p->list[p->n++] = {a, d, tile, add, across, kp_is_half(T()), p->committed};
}
KP_DEV void kp_group_begin() {}
KP_DEV void kp_group_commit() { kp_my_products()->committed++; }
template <int left, bool apart = false> KP_DEV void kp_group_wait(float d[32]) {
  (void)d;
  kp_products *p = kp_my_products();
  int done = 0;
  while (done < p->n && p->list[done].group < p->committed - left) kp_warp(kp_group_compute, &p->list[done++]);
  for (int i = done; i < p->n; i++) p->list[i - done] = p->list[i];
  p->n -= done;
}
KP_DEV void kp_group_see() {}
#else
KP_DEV void kp_mma8(float d[4], unsigned a0, unsigned a1, unsigned b) {
  kp_fragments mine = {{a0, a1, 0, 0}, {b, 0}, d};
  kp_warp(kp_multiply<kp_half, 8>, &mine);
}
#endif
#endif
