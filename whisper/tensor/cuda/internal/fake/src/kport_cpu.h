/* kport_cpu.h: kernels on the CPU. The threads of a block are fibers of one thread, so that barriers and what warps do together
 * really meet. A warp runs as far as it can before the next one does, in an order that changes, so that a missing barrier shows; a
 * meeting to which not all come is a fault. The fake driver provides what is declared here. */
#ifndef KPORT_CPU_H
#define KPORT_CPU_H
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

struct kp_dim3 { unsigned x, y, z; };
extern kp_dim3 threadIdx, blockIdx, blockDim, gridDim;

/* Returns when all threads of the block are here. */
extern "C" void kp_barrier();

/* Meets the other threads of the warp. When all n of them are here, f runs once, with what each gave; then all go on. */
extern "C" void kp_warp(void (*f)(void *const *lane, unsigned n), void *mine);

/* The dynamic shared memory of the block. */
extern "C" void *kp_dynamic_memory();
template <class T> static inline T *kp_dynamic() { return (T *)kp_dynamic_memory(); }

/* What begins with KP_GLOBAL is found in the preprocessed source, and known to the fake driver under its name. */
#define KP_GLOBAL extern "C" __attribute__((noinline, used))
#define KP_DEV static inline
#define KP_BOUNDS(threads)
/* Filled with bytes of 0xff before each block: what was not written reads as NaN. A template's is not: g++ cannot place it. */
#ifndef KP_SECTION
#define KP_SECTION "kp_shared"
#endif
#define __shared__ static __attribute__((section(KP_SECTION)))
#define __syncthreads() kp_barrier()

static inline void kp_meet(void *const *, unsigned) {}
static inline void __syncwarp() { kp_warp(kp_meet, nullptr); }

/* ---- what threads of a warp tell each other ---- */
struct kp_told { uint32_t bits, got; int lane; };
/* A thread that reads from one that is not there gets NaN. */
static inline void kp_exchange(void *const *lanes, unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    kp_told *t = (kp_told *)lanes[i];
    t->got = t->lane >= 0 && t->lane < (int)n ? ((kp_told *)lanes[t->lane])->bits : 0xffffffffu;
  }
}
template <class T> static inline T kp_shfl(T v, int lane) {
  static_assert(sizeof(T) == 4, "four bytes");
  kp_told t = {0, 0, lane & 31};
  memcpy(&t.bits, &v, 4);
  kp_warp(kp_exchange, &t);
  memcpy(&v, &t.got, 4);
  return v;
}
static inline int kp_lane() { return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) & 31; }
template <class T> static inline T kp_shfl_xor(T v, int mask) { return kp_shfl(v, kp_lane() ^ mask); }
template <class T> static inline T kp_shfl_down(T v, int d) { return kp_shfl(v, kp_lane() + d < 32 ? kp_lane() + d : kp_lane()); }
template <class T> static inline T kp_shfl_up(T v, int d) { return kp_shfl(v, kp_lane() >= d ? kp_lane() - d : kp_lane()); }

static inline void kp_vote(void *const *lanes, unsigned n) {
  uint32_t all = 0;
  for (unsigned i = 0; i < n; i++) all |= ((kp_told *)lanes[i])->bits << i;
  for (unsigned i = 0; i < n; i++) ((kp_told *)lanes[i])->got = all;
}
static inline unsigned kp_ballot(bool p) {
  kp_told t = {p, 0, 0};
  kp_warp(kp_vote, &t);
  return t.got;
}
static inline bool kp_any(bool p) { return kp_ballot(p) != 0; }
static inline bool kp_all(bool p) { return kp_ballot(!p) == 0; }

/* ---- atomics: one thread runs at a time; the value before is returned ---- */
template <class T> static inline T kp_atomic_add(T *p, T v) { T old = *p; *p = old + v; return old; }

/* ---- numbers ---- */
static inline float kp_b2f(unsigned short b) { uint32_t u = (uint32_t)b << 16; float f; memcpy(&f, &u, 4); return f; }
static inline unsigned short kp_f2b(float f) { /* to nearest even; NaN stays NaN */
  uint32_t u; memcpy(&u, &f, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return (unsigned short)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
static inline float kp_h2f(unsigned short h) {
  uint32_t s = (uint32_t)(h & 0x8000u) << 16, e = (h >> 10) & 31, m = h & 0x3ffu, u;
  if (e == 31) u = s | 0x7f800000u | m << 13;
  else if (e) u = s | (e + 112) << 23 | m << 13;
  else if (!m) u = s;
  else { for (e = 113; !(m & 0x400u); m <<= 1) e--; u = s | e << 23 | (m & 0x3ffu) << 13; }
  float f; memcpy(&f, &u, 4); return f;
}
static inline unsigned short kp_f2h(float f) { /* to nearest even */
  uint32_t u; memcpy(&u, &f, 4);
  uint32_t s = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
  if (a > 0x7f800000u) return (unsigned short)(s | 0x7fffu);
  if (a >= 0x47800000u) return (unsigned short)(s | 0x7c00u);
  if (a < 0x33000000u) return (unsigned short)s;
  if (a < 0x38800000u) { /* below the least normal number */
    int shift = 126 - (int)(a >> 23);
    uint32_t m = (a & 0x7fffffu) | 0x800000u, r = m >> shift, rest = m & ((1u << shift) - 1), half = 1u << (shift - 1);
    return (unsigned short)(s | (r + (rest > half || (rest == half && (r & 1)))));
  }
  uint32_t r = (a - 0x38000000u) >> 13, rest = a & 0x1fffu;
  return (unsigned short)(s | (r + (rest > 0x1000u || (rest == 0x1000u && (r & 1)))));
}
static inline float kp_exp2(float x) { return exp2f(x); }
static inline float kp_fma(float a, float b, float c) { return fmaf(a, b, c); }
static inline float kp_max(float a, float b) { return fmaxf(a, b); }

/* ---- how a kernel becomes known: what is appended to its preprocessed source ---- */
struct kp_kernel {
  const char *name;
  void (*call)(void **args);
  const size_t *sizes; /* of its n parameters */
  unsigned n;
  char *shared_begin, *shared_end; /* the static shared memory of its file */
  kp_kernel *next;
};
extern kp_kernel *kp_kernels;
template <size_t... I> struct kp_indices {};
template <size_t N, size_t... I> struct kp_count : kp_count<N - 1, N - 1, I...> {};
template <size_t... I> struct kp_count<0, I...> { typedef kp_indices<I...> type; };
template <auto K> struct kp_bind;
template <class... A, void (*K)(A...)> struct kp_bind<K> {
  template <size_t... I> static void apply(void **p, kp_indices<I...>) { K(*(A *)p[I]...); }
  static void call(void **p) { apply(p, typename kp_count<sizeof...(A)>::type()); }
  static constexpr size_t sizes[sizeof...(A) + 1] = {sizeof(A)...};
  static constexpr unsigned n = sizeof...(A);
};
struct kp_register {
  kp_kernel k;
  kp_register(const char *name, void (*call)(void **), const size_t *sizes, unsigned n, char *begin, char *end)
      : k{name, call, sizes, n, begin, end, kp_kernels} { kp_kernels = &k; }
};
#endif
