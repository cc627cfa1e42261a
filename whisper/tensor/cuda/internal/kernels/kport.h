/* kport.h - one source of the kernels for two compilers.
 *
 *   clang without a toolkit: -x cuda --cuda-device-only -nocudainc -nocudalib, see kernels.go
 *   g++ on the CPU:          -DKPORT_CPU, for tests; the threads of a block are fibers, see kport_cpu.h of the fake driver
 *
 * What kernels may use: float and integer arithmetic, pointers, templates, and what is named here. No kernel uses
 * dynamic shared memory, or the order in which blocks run; atomics only count blocks, so that the last one goes on. Blocks have one dimension and are multiples of 32 threads; a thread
 * leaves before a barrier, or what its warp does together, only with all the others.
 *
 *   KP_KERNEL(name)(...)      the definition of a kernel; its parameters are numbers and pointers
 *   KP_KERNEL_OF(name, threads, blocks)   the same for blocks of so many threads, of which a multiprocessor is to have room for so many
 *   KP_DEV                    a function of the device
 *   KP_SHARED                 an array in the memory of the block, not in templates
 *   KP_UNROLL KP_ROLL         before a loop of few, fixed rounds, and before one whose rounds are not to be laid out
 *   kp_tid kp_bid_x/y/z       indices of the thread and of the block; kp_bdim kp_gdim_y/z are their numbers
 *   kp_sync                   the barrier of the block
 *   kp_fma kp_max kp_exp2 kp_log2   kp_max is the other number where one is NaN
 *   kp_exp2_flushed           kp_exp2 with zero for what is below the least normal number: one instruction, where that takes four
 *   kp_reciprocal             1/x to a unit in the last place
 *   kp_shfl kp_shfl_xor kp_any   of all threads of a warp
 *   kp_round kp_wide          to and from the formats of 16 bits: kp_bf16 (bfloat16), kp_half (IEEE 754 binary16)
 *   kp_put kp_get             the same where the format is told when the kernel runs
 *   kp_pack                   two numbers rounded to a format of 16 bits, the first in the low half
 *   kp_mma                    d += a b: mma.sync.m16n8k16 of bfloat16 (from sm_80) or binary16, of all threads of a warp
 *   kp_matrices kp_matrices_across   ldmatrix of four matrices of 8 x 8 numbers of 16 bits, from sm_80; the second transposes each
 *   kp_stream16               16 bytes of memory that the kernel does not write, and does not read again
 *   kp_let_next kp_await      from sm_90 on: the next kernel may come onto the device; waits for all before. A kernel that has
 *                             kp_await is launched while others run: each thread has it first of all, before any memory but by kp_prefetch
 *   kp_prefetch               brings a line of memory nearer; what others write to it is still seen
 *   kp_atomic_add kp_fence    a counter of blocks; what was written before is seen before what is written behind, by all
 *   kp_copy16 kp_copy_commit kp_copy_wait<n>   copies of 16 bytes to shared memory, which from sm_80 on arrive later
 *   kp_copy16_or_zeros        the same from sm_80; zeros where there is nothing to copy
 *   kp_group_multiply         d += a b, or d = a b: wgmma.mma_async.m64n64k16 of sm_90a, of a warpgroup (4 warps), b being a part of a tile of
 *                             shared memory: rows of 128 bytes, 64 numbers of 16 bits, from an address that is a multiple of 1024 on, in which
 *                             word i of 16 bytes of row r is word i ^ (r & 7). across: its rows are those of b; else the columns
 *   kp_group_begin kp_group_commit kp_group_wait<n>   before such products, and after they have been begun; d and a are not to be touched before the wait
 *   kp_group_see              what this thread has written to shared memory is seen by products that are begun after a barrier
 *
 * KPORT_SM80 is set for what runs on sm_80 and later alone, KPORT_SM90 for sm_90a alone.
 */
#ifndef KPORT_H
#define KPORT_H

struct kp_half { unsigned short bits; }; /* a binary16 */
struct kp_bf16 { unsigned short bits; }; /* a bfloat16 */
typedef unsigned long long kp_u64;
struct alignas(16) kp_uint4 { unsigned x, y, z, w; };
struct alignas(16) kp_float4 { float x, y, z, w; };

#if defined(KPORT_CPU)
#include "kport_cpu.h"
#include "kport_emulate.h"
#else

#define KP_KERNEL(name) extern "C" __attribute__((global)) void name
#define KP_KERNEL_OF(name, threads, blocks) extern "C" __attribute__((global, launch_bounds(threads, blocks))) void name
#define KP_DEV static __attribute__((device)) inline __attribute__((always_inline))
#define KP_SHARED static __attribute__((shared))
#define KP_UNROLL _Pragma("unroll")
#define KP_ROLL _Pragma("nounroll")

KP_DEV int kp_tid() { return __nvvm_read_ptx_sreg_tid_x(); }
KP_DEV int kp_bid_x() { return __nvvm_read_ptx_sreg_ctaid_x(); }
KP_DEV int kp_bid_y() { return __nvvm_read_ptx_sreg_ctaid_y(); }
KP_DEV int kp_bid_z() { return __nvvm_read_ptx_sreg_ctaid_z(); }
KP_DEV int kp_bdim() { return __nvvm_read_ptx_sreg_ntid_x(); }
KP_DEV int kp_gdim_y() { return __nvvm_read_ptx_sreg_nctaid_y(); }
KP_DEV int kp_gdim_z() { return __nvvm_read_ptx_sreg_nctaid_z(); }
KP_DEV void kp_sync() { __syncthreads(); }

KP_DEV float kp_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
KP_DEV float kp_exp2(float x) { float y; asm("ex2.approx.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
KP_DEV float kp_exp2_flushed(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
KP_DEV float kp_reciprocal(float x) { float y; asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
KP_DEV float kp_log2(float x) { float y; asm("lg2.approx.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
KP_DEV float kp_max(float a, float b) { return __builtin_fmaxf(a, b); }
KP_DEV float kp_float(unsigned bits) { return __builtin_bit_cast(float, bits); }
KP_DEV unsigned kp_bits(float x) { return __builtin_bit_cast(unsigned, x); }

KP_DEV float kp_shfl_xor(float v, int mask) {
  float r;
  asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 31, -1;" : "=f"(r) : "f"(v), "r"(mask));
  return r;
}
KP_DEV float kp_shfl(float v, int lane) {
  float r;
  asm volatile("shfl.sync.idx.b32 %0, %1, %2, 31, -1;" : "=f"(r) : "f"(v), "r"(lane));
  return r;
}
KP_DEV bool kp_any(bool p) {
  int r;
  asm volatile("{ .reg .pred p, q; setp.ne.s32 p, %1, 0; vote.sync.any.pred q, p, -1; selp.s32 %0, 1, 0, q; }"
               : "=r"(r) : "r"((int)p));
  return r != 0;
}

KP_DEV kp_uint4 kp_stream16(const kp_uint4 *from) {
  kp_uint4 v;
  asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from));
  return v;
}
KP_DEV void kp_prefetch(const void *at) { asm volatile("prefetch.global.L2 [%0];" ::"l"(at)); }
KP_DEV void kp_let_next() { asm volatile("//griddepcontrol.launch_dependents;" ::: "memory"); }
KP_DEV void kp_await() { asm volatile("//griddepcontrol.wait;" ::: "memory"); }
KP_DEV unsigned kp_atomic_add(unsigned *to, unsigned n) {
  unsigned before;
  asm volatile("atom.global.add.u32 %0, [%1], %2;" : "=r"(before) : "l"(to), "r"(n) : "memory");
  return before;
}
KP_DEV void kp_fence() { asm volatile("membar.gl;" ::: "memory"); }

KP_DEV unsigned kp_half_bits(float x) {
  unsigned short h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
  return h;
}
KP_DEV float kp_half_value(unsigned bits) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"((unsigned short)bits));
  return x;
}
#if defined(KPORT_SM80)
KP_DEV unsigned kp_pack(kp_bf16, float low, float high) {
  unsigned r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
KP_DEV unsigned kp_pack(kp_half, float low, float high) {
  unsigned r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
KP_DEV void kp_mma(kp_bf16, float d[4], const unsigned a[4], unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
KP_DEV void kp_mma(kp_half, float d[4], const unsigned a[4], unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
KP_DEV unsigned kp_shared_address(const void *shared) { return (unsigned)(unsigned long long)(__attribute__((address_space(3))) const void *)shared; }
KP_DEV void kp_matrices(unsigned d[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(kp_shared_address(row))
               : "memory");
}
KP_DEV void kp_matrices_across(unsigned d[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(kp_shared_address(row))
               : "memory");
}
KP_DEV void kp_copy16_or_zeros(void *shared, const void *global, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(kp_shared_address(shared)), "l"(global), "r"(there ? 16 : 0) : "memory");
}
KP_DEV void kp_copy16(void *shared, const void *global) {
  unsigned to = kp_shared_address(shared);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
}
KP_DEV void kp_copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int left> KP_DEV void kp_copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory"); }
#if defined(KPORT_SM90)
#define KP_REGISTERS \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define KP_SUMS(d) \
  "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), \
  "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), \
  "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), \
  "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
/* The part of a tile that begins at an address; groups of 8 rows are 1024 bytes apart (PTX manual, "Matrix Descriptor Format") */
KP_DEV kp_u64 kp_tile(const void *shared) { return (kp_u64)((kp_shared_address(shared) & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62; }
#define KP_GROUP_MULTIPLY(T, format) \
  template <bool across> KP_DEV void kp_group_multiply(T, float d[32], const unsigned a[4], kp_u64 tile, bool add) { \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %37, 0;\n" \
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32." format "." format " {" KP_REGISTERS "}, {%32,%33,%34,%35}, %36, p, 1, 1, %38; }" \
                 : KP_SUMS(d) \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tile), "r"((int)add), "n"((int)across) \
                 : "memory"); \
  }
KP_GROUP_MULTIPLY(kp_bf16, "bf16")
KP_GROUP_MULTIPLY(kp_half, "f16")
/* The part that begins so many bytes behind it */
KP_DEV kp_u64 kp_tile_behind(kp_u64 tile, unsigned bytes) { return (tile & 0xffffffff00000000) | ((unsigned)tile + (bytes >> 4)); }
KP_DEV void kp_group_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
KP_DEV void kp_group_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int left, bool apart = false> KP_DEV void kp_group_wait(float d[32]) {
  asm volatile("wgmma.wait_group.sync.aligned %32; // %33" : KP_SUMS(d) : "n"(left), "n"((int)apart) : "memory");
}
KP_DEV void kp_group_see() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
#endif
#else
KP_DEV void kp_mma8(float d[4], unsigned a0, unsigned a1, unsigned b) { /* a half of the products of kp_mma, from sm_75 */
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(b));
}
#endif
#endif

#if !defined(KPORT_SM80)
KP_DEV void kp_mma(kp_half, float d[4], const unsigned a[4], unsigned b0, unsigned b1) {
  kp_mma8(d, a[0], a[1], b0); /* a[0] and a[1] have columns 0-7 of a, a[2] and a[3] 8-15; b0 and b1 the rows of b */
  kp_mma8(d, a[2], a[3], b1);
}
KP_DEV void kp_copy16(void *shared, const void *global) { *(kp_uint4 *)shared = *(const kp_uint4 *)global; }
KP_DEV void kp_copy_commit() {}
template <int left> KP_DEV void kp_copy_wait() {}
#endif

/* What follows is the same on both. */

#define KP_INFINITY kp_float(0x7f800000u)

/* x, of which finite numbers beyond what a format of 16 bits has become its greatest, where rounding would make them infinite. Those of
 * bfloat16 are as large as those of float32. */
KP_DEV float kp_within(kp_bf16, float x) { return x; }
KP_DEV float kp_within(kp_half, float x) {
  const float most = 65504.0f;
  return x > most && x < KP_INFINITY ? most : x < -most && x > -KP_INFINITY ? -most : x;
}

/* x rounded to nearest even, and within the format; NaN stays NaN, and infinity infinity */
KP_DEV kp_bf16 kp_round(kp_bf16, float x) {
  unsigned u = kp_bits(x);
  unsigned rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return {(unsigned short)((u & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : rounded)};
}
KP_DEV kp_half kp_round(kp_half, float x) { return {(unsigned short)kp_half_bits(kp_within(kp_half(), x))}; }
KP_DEV float kp_round(float, float x) { return x; }

#if defined(KPORT_CPU) || !defined(KPORT_SM80)
KP_DEV unsigned kp_pack(kp_bf16, float low, float high) { return kp_round(kp_bf16(), low).bits | (unsigned)kp_round(kp_bf16(), high).bits << 16; }
KP_DEV unsigned kp_pack(kp_half, float low, float high) { return kp_half_bits(low) | kp_half_bits(high) << 16; }
#endif

KP_DEV float kp_wide(float x) { return x; }
KP_DEV float kp_wide(kp_bf16 x) { return kp_float((unsigned)x.bits << 16); }
KP_DEV float kp_wide(kp_half x) { return kp_half_value(x.bits); }
/* Both halves of a word */
template <class T> KP_DEV float kp_low(T, unsigned word) { return kp_wide(T{(unsigned short)word}); }
template <class T> KP_DEV float kp_high(T, unsigned word) { return kp_wide(T{(unsigned short)(word >> 16)}); }

/* Formats as kernels are told them: their numbers are those of the backend. */
enum { kp_is_f32, kp_is_bf16, kp_is_f16 };

/* The bits of x in a format of 16 bits */
KP_DEV unsigned kp_narrow(int format, float x) { return format == kp_is_f16 ? kp_round(kp_half(), x).bits : kp_round(kp_bf16(), x).bits; }
/* Those of two numbers, the first in the low half */
KP_DEV unsigned kp_narrow_pair(int format, float low, float high) {
  return format == kp_is_f16 ? kp_pack(kp_half(), kp_within(kp_half(), low), kp_within(kp_half(), high)) : kp_pack(kp_bf16(), low, high);
}
/* to[i] = x, in a format of 16 bits */
KP_DEV void kp_put(void *to, int format, long long i, float x) { ((unsigned short *)to)[i] = (unsigned short)kp_narrow(format, x); }
/* The number of a format of 16 bits that has these bits */
KP_DEV float kp_widen(int format, unsigned bits) {
  return format == kp_is_f16 ? kp_wide(kp_half{(unsigned short)bits}) : kp_wide(kp_bf16{(unsigned short)bits});
}
/* x[i], in a format of 16 bits */
KP_DEV float kp_get(const void *x, int format, long long i) { return kp_widen(format, ((const unsigned short *)x)[i]); }

KP_DEV int kp_least(int a, int b) { return a < b ? a : b; }

#define KP_LOG2E 1.44269504088896340736f
#define KP_LN2 0.693147180559945309417f

/* exp(x) to about 2 units in the last place: the rounding of x log2(e) is made good. */
KP_DEV float kp_exponential(float x) {
  float t = x * KP_LOG2E;
  float rest = kp_fma(x, KP_LOG2E, -t);
  rest = kp_fma(x, 1.925963033500e-8f, rest); /* log2(e) less its float */
  float e = kp_exp2(t);
  return e == 0.0f || e > 3e38f || x != x ? e : kp_fma(e * rest, KP_LN2, e);
}
KP_DEV float kp_logarithm(float x) { return kp_log2(x) * KP_LN2; }

KP_DEV float kp_warp_sum(float v) {
  for (int m = 16; m > 0; m >>= 1) v += kp_shfl_xor(v, m);
  return v;
}
KP_DEV float kp_warp_max(float v) {
  for (int m = 16; m > 0; m >>= 1) v = kp_max(v, kp_shfl_xor(v, m));
  return v;
}
/* Sum and maximum over a block of whole warps; scratch has 32 numbers. */
KP_DEV float kp_block_sum(float v, float *scratch) {
  v = kp_warp_sum(v);
  if ((kp_tid() & 31) == 0) scratch[kp_tid() >> 5] = v;
  kp_sync();
  float sum = 0;
  for (int i = 0; i < kp_bdim() >> 5; i++) sum += scratch[i];
  kp_sync();
  return sum;
}
KP_DEV float kp_block_max(float v, float *scratch) {
  v = kp_warp_max(v);
  if ((kp_tid() & 31) == 0) scratch[kp_tid() >> 5] = v;
  kp_sync();
  float most = scratch[0];
  for (int i = 1; i < kp_bdim() >> 5; i++) most = kp_max(most, scratch[i]);
  kp_sync();
  return most;
}
#endif
