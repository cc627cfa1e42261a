/* kport_cpu.h - the CPU side of kport.h. Who runs the kernels provides what is declared extern here: the threads of a block
 * are fibers, so that barriers and what warps do together really meet, and a barrier that not every live thread reaches is
 * reported instead of hanging. */
#ifndef KPORT_CPU_H
#define KPORT_CPU_H
#include <cmath>
#include <cstddef>
#include <cstring>
#include <utility>

struct kp_dim3 { unsigned x = 1, y = 1, z = 1; };
extern thread_local kp_dim3 kp_thread, kp_block, kp_block_dim, kp_grid_dim; /* indices, and their numbers */
void kp_barrier();              /* returns when all threads of the block are here */
void kp_warp_barrier();         /* returns when all threads of the warp are here */
void *kp_warp_slot(int lane);   /* 64 bytes of a thread of this warp, where the others find what it gives them */

/* kp_kernel is a kernel that KP_EXPORT made known: call takes pointers to its n arguments, of the given sizes. */
struct kp_kernel {
  const char *name;
  void (*call)(void **);
  const size_t *sizes;
  int n;
  kp_kernel *next;
};
extern kp_kernel *kp_kernels; /* the first of all */

template <auto K> struct kp_bind;
template <class... A, void (*K)(A...)> struct kp_bind<K> {
  template <size_t... I> static void apply(void **p, std::index_sequence<I...>) { K(*(A *)p[I]...); }
  static void call(void **p) { apply(p, std::index_sequence_for<A...>()); }
  static constexpr size_t sizes[sizeof...(A) + 1] = {sizeof(A)...};
  static constexpr int n = sizeof...(A);
};
struct kp_export {
  kp_kernel k;
  kp_export(const char *name, void (*call)(void **), const size_t *sizes, int n) : k{name, call, sizes, n, kp_kernels} { kp_kernels = &k; }
};

#define KP_KERNEL(name) extern "C" void name
#define KP_EXPORT(name) static kp_export kp_export_##name(#name, kp_bind<name>::call, kp_bind<name>::sizes, kp_bind<name>::n);
#define KP_DEV static inline
#define KP_SHARED static thread_local
#define KP_UNROLL

KP_DEV int kp_tid() { return kp_thread.x; }
KP_DEV int kp_bid_x() { return kp_block.x; }
KP_DEV int kp_bid_y() { return kp_block.y; }
KP_DEV int kp_bid_z() { return kp_block.z; }
KP_DEV int kp_bdim() { return kp_block_dim.x; }
KP_DEV int kp_gdim_x() { return kp_grid_dim.x; }
KP_DEV int kp_gdim_y() { return kp_grid_dim.y; }
KP_DEV int kp_gdim_z() { return kp_grid_dim.z; }
KP_DEV void kp_sync() { kp_barrier(); }

KP_DEV float kp_fma(float a, float b, float c) { return (float)((double)a * b + c); }
KP_DEV float kp_exp2(float x) { return exp2f(x); }
KP_DEV float kp_log2(float x) { return log2f(x); }
KP_DEV float kp_rsqrt(float x) { return 1.0f / sqrtf(x); }
KP_DEV float kp_float(unsigned bits) { float f; memcpy(&f, &bits, 4); return f; }
KP_DEV unsigned kp_bits(float x) { unsigned u; memcpy(&u, &x, 4); return u; }

/* kp_give leaves n bytes for the other threads of the warp, kp_taken ends the time in which they read them. */
KP_DEV void kp_give(const void *data, int n) { memcpy(kp_warp_slot(kp_tid() & 31), data, n); kp_warp_barrier(); }
KP_DEV void kp_taken() { kp_warp_barrier(); }

KP_DEV float kp_shfl_xor(float v, int mask) {
  kp_give(&v, 4);
  float r = *(float *)kp_warp_slot((kp_tid() & 31) ^ mask);
  kp_taken();
  return r;
}
KP_DEV float kp_shfl(float v, int lane) {
  kp_give(&v, 4);
  float r = *(float *)kp_warp_slot(lane & 31);
  kp_taken();
  return r;
}
KP_DEV bool kp_any(bool p) {
  kp_give(&p, 1);
  bool any = false;
  for (int i = 0; i < 32; i++) any |= *(bool *)kp_warp_slot(i);
  kp_taken();
  return any;
}

static inline unsigned short kp_round_bf16(float x) {
  unsigned u = kp_bits(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return (unsigned short)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
KP_DEV unsigned kp_pack_bf16(float low, float high) { return kp_round_bf16(low) | (unsigned)kp_round_bf16(high) << 16; }

static inline float kp_half_of(unsigned word, int high) { return kp_float(high ? word & 0xffff0000u : word << 16); }
/* The fragments are those of the PTX manual, "Matrix Fragments for mma.m16n8k16 with floating point type". */
KP_DEV void kp_mma(float d[4], const unsigned a[4], unsigned b0, unsigned b1) {
  unsigned mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
  kp_give(mine, sizeof mine);
  int lane = kp_tid() & 31;
  for (int i = 0; i < 4; i++) {
    int row = lane / 4 + (i & 2) * 4, col = lane % 4 * 2 + (i & 1);
    float sum = 0;
    for (int k = 0; k < 16; k++) {
      unsigned x = ((unsigned *)kp_warp_slot(row % 8 * 4 + k % 8 / 2))[row / 8 + k / 8 * 2];
      unsigned y = ((unsigned *)kp_warp_slot(col * 4 + k % 8 / 2))[4 + k / 8];
      sum += kp_half_of(x, k & 1) * kp_half_of(y, k & 1);
    }
    d[i] += sum;
  }
  kp_taken();
}
/* Copies arrive when they are waited for and not before, so that a wait that lacks shows. */
struct kp_copies { const void *from[64]; void *to[64]; int group[64], n, committed; };
kp_copies *kp_thread_copies(); /* of this thread; empty when its block begins */
KP_DEV void kp_copy16(void *shared, const void *global) {
  kp_copies *c = kp_thread_copies();
  c->to[c->n] = shared, c->from[c->n] = global, c->group[c->n++] = c->committed;
}
KP_DEV void kp_copy_commit() { kp_thread_copies()->committed++; }
template <int left> KP_DEV void kp_copy_wait() {
  kp_copies *c = kp_thread_copies();
  int kept = 0;
  for (int i = 0; i < c->n; i++)
    if (c->group[i] < c->committed - left) {
      memcpy(c->to[i], c->from[i], 16);
    } else {
      c->to[kept] = c->to[i], c->from[kept] = c->from[i], c->group[kept++] = c->group[i];
    }
  c->n = kept;
}
#endif
