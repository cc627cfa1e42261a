/* fibers.cc: runs a kernel, block after block; the threads of a block are fibers. */
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include "fake.h"

kp_dim3 threadIdx, blockIdx, blockDim, gridDim;
kp_kernel *kp_kernels;

/* kp_switch leaves the stack pointer in *from, all else that a call preserves on the stack, and goes on at `to`. */
extern "C" void kp_switch(void **from, void *to);
#if defined(__x86_64__)
__asm__(".text\n.globl kp_switch\n.hidden kp_switch\n.type kp_switch,@function\nkp_switch:\n"
        "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n  mov %rsp, (%rdi)\n  mov %rsi, %rsp\n"
        "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n  ret\n.size kp_switch, .-kp_switch\n");
enum { FRAME = 8, ENTRY = 6 }; /* words; where the address to go on at is */
#elif defined(__aarch64__)
__asm__(".text\n.globl kp_switch\n.hidden kp_switch\n.type kp_switch,%function\nkp_switch:\n  sub sp, sp, #176\n"
        "  stp x19, x20, [sp]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n  stp x25, x26, [sp, #48]\n"
        "  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n"
        "  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n  mov x9, sp\n  str x9, [x0]\n  mov sp, x1\n"
        "  ldp x19, x20, [sp]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n  ldp x25, x26, [sp, #48]\n"
        "  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n"
        "  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n  add sp, sp, #176\n  ret\n.size kp_switch, .-kp_switch\n");
enum { FRAME = 22, ENTRY = 11 };
#else
#error "amd64 and arm64 only"
#endif

enum state : unsigned char { READY, AT_BARRIER, AT_WARP, DONE };
static const size_t STACK = 64 << 10;
static const unsigned THREADS = 1024, WARP = 32, BEHIND = 256;
static struct { void *sp; kp_dim3 index; } fibers[THREADS];
static state states[THREADS];
static void *given[THREADS];                             /* to kp_warp */
static void (*meeting[THREADS])(void *const *, unsigned); /* of kp_warp */
static char *stacks;
static void *scheduler;
static unsigned running; /* the fiber */
static const launch_t *launched;
static void **arguments;
static std::vector<char> &dynamic_memory = *new std::vector<char>;
static uint32_t dice = 1;
static sigjmp_buf rescue;
static volatile bool rescuing;
static struct { CUresult code; char text[256]; } broken; /* why the kernel was ended */

static unsigned warp_from, warp_to; /* the warp that runs */
static unsigned arrived;            /* of its threads, at a meeting */
static bool backward;               /* the order in which its threads take turns */

static unsigned roll() { dice ^= dice << 13, dice ^= dice >> 17, dice ^= dice << 5; return dice; }

/* The next thread of the warp that can run, after thread i; warp_to if there is none. */
static unsigned ready_after(unsigned i) {
  for (unsigned k = warp_to - warp_from; k > 0; k--) {
    if (backward) i = i == warp_from ? warp_to - 1 : i - 1;
    else i = i == warp_to - 1 ? warp_from : i + 1;
    if (states[i] == READY) return i;
  }
  return warp_to;
}

/* Goes on with the next thread of the warp, or where none can run with who runs warps. */
static void park(state s) {
  unsigned me = running, next;
  states[me] = s;
  next = ready_after(me);
  if (next == warp_to) {
    kp_switch(&fibers[me].sp, scheduler);
    return;
  }
  running = next, threadIdx = fibers[next].index;
  kp_switch(&fibers[me].sp, fibers[next].sp);
}
extern "C" void kp_barrier() { park(AT_BARRIER); }

/* The last to come makes the meeting, and goes on first. */
extern "C" void kp_warp(void (*f)(void *const *, unsigned), void *mine) {
  unsigned me = running, n = warp_to - warp_from;
  given[me] = mine, meeting[me] = f;
  if (++arrived < n) return park(AT_WARP);
  for (unsigned i = warp_from; i < warp_to; i++)
    if (meeting[i] != f) return park(AT_WARP);
  f(given + warp_from, n);
  for (unsigned i = warp_from; i < warp_to; i++) states[i] = READY;
  arrived = 0, backward = roll() & 1;
}
extern "C" void *kp_dynamic_memory() { return (void *)(((uintptr_t)dynamic_memory.data() + 127) & ~(uintptr_t)127); }

static void fiber_main() {
  launched->kernel->call(arguments);
  park(DONE);
  abort();
}
static void start(unsigned i) {
  /* what a warp's stacks have at their tops lies in different lines of the cache */
  void **frame = (void **)(stacks + (i + 1) * STACK - i % WARP * 5 * 64) - FRAME;
  memset(frame, 0, FRAME * sizeof *frame);
  frame[ENTRY] = (void *)fiber_main;
  fibers[i].sp = frame;
  fibers[i].index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
  states[i] = READY;
}

/* Runs the threads from..to of a warp as far as they can go. */
static void run_warp(unsigned from, unsigned to) {
  warp_from = from, warp_to = to, arrived = 0, backward = roll() & 1;
  running = backward ? to - 1 : from, threadIdx = fibers[running].index;
  kp_switch(&scheduler, fibers[running].sp);
}

/* Whether the block wrote behind its dynamic shared memory. */
static CUresult overrun() {
  const char *end = launched->shared ? (char *)kp_dynamic_memory() + launched->shared : nullptr;
  for (unsigned i = 0; end && i < BEHIND; i++)
    if (end[i] != (char)0xff)
      return fault(CUDA_ERROR_ILLEGAL_ADDRESS, "%s wrote behind its %u bytes of shared memory", launched->kernel->name, launched->shared);
  return CUDA_SUCCESS;
}

static CUresult run_block(unsigned n) {
  for (unsigned i = 0; i < n; i++) start(i);
  const kp_kernel *k = launched->kernel;
  if (k->shared_end > k->shared_begin) memset(k->shared_begin, 0xff, (size_t)(k->shared_end - k->shared_begin));
  if (launched->shared) memset(dynamic_memory.data(), 0xff, dynamic_memory.size());
  unsigned warps = (n + WARP - 1) / WARP;
  for (;;) {
    unsigned first = roll() % warps;
    for (unsigned w = 0; w < warps; w++) {
      unsigned from = (w + first) % warps * WARP;
      run_warp(from, std::min(from + WARP, n));
    }
    unsigned count[4] = {0, 0, 0, 0};
    for (unsigned i = 0; i < n; i++) count[states[i]]++;
    if (count[DONE] == n) return overrun();
    if (count[AT_BARRIER] != n)
      return fault(CUDA_ERROR_LAUNCH_FAILED,
                   "%s: divergent: of %u threads of block %u,%u,%u, %u are at __syncthreads, %u at a meeting of their warp, %u have returned",
                   k->name, n, blockIdx.x, blockIdx.y, blockIdx.z, count[AT_BARRIER], count[AT_WARP], count[DONE]);
    for (unsigned i = 0; i < n; i++) states[i] = READY;
  }
}

static CUresult run_blocks(const launch_t &l) {
  for (unsigned z = 0; z < l.grid.z; z++)
    for (unsigned y = 0; y < l.grid.y; y++)
      for (unsigned x = 0; x < l.grid.x; x++) {
        blockIdx = {x, y, z};
        if (CUresult rc = run_block(l.block.x * l.block.y * l.block.z)) return rc;
      }
  return CUDA_SUCCESS;
}

CUresult run_kernel(launch_t &l) {
  void *args[128];
  for (unsigned i = 0; i < l.kernel->n; i++) args[i] = l.args.data() + 8 * i;
  launched = &l, arguments = args, blockDim = l.block, gridDim = l.grid;
  dynamic_memory.resize(l.shared ? l.shared + 128 + BEHIND : 0);
  if (settings[SET_SEED]) dice = (uint32_t)settings[SET_SEED];
  CUresult rc;
  rescuing = true;
  if (sigsetjmp(rescue, 1))
    rc = fault(broken.code, "%s: %s in thread %u,%u,%u of block %u,%u,%u", l.kernel->name, broken.text, threadIdx.x, threadIdx.y, threadIdx.z,
               blockIdx.x, blockIdx.y, blockIdx.z);
  else
    rc = run_blocks(l);
  rescuing = false;
  return rc;
}

/* Ends the kernel that runs. */
static void end_kernel(CUresult code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(broken.text, sizeof broken.text, format, args);
  va_end(args);
  broken.code = code;
  siglongjmp(rescue, 1);
}

/* What code that was compiled with -fsanitize=bounds,alignment calls, in the place of libubsan. */
struct place_t { const char *file; unsigned line, column; };
extern "C" void __ubsan_handle_out_of_bounds(const place_t *at, uintptr_t index) {
  end_kernel(CUDA_ERROR_ILLEGAL_ADDRESS, "index %lld outside an array at %s:%u", (long long)index, at->file, at->line);
}
extern "C" void __ubsan_handle_type_mismatch_v1(const place_t *at, uintptr_t address) {
  end_kernel(CUDA_ERROR_MISALIGNED_ADDRESS, "the address %#llx is not aligned for its type at %s:%u", (unsigned long long)address, at->file, at->line);
}

/* A kernel that reads or writes where there is no memory ends with a fault, as on a GPU; other signals go where they went before. */
static struct sigaction before[65];
static thread_local bool executor;
static void on_signal(int n, siginfo_t *info, void *context) {
  if (executor && rescuing) end_kernel(CUDA_ERROR_ILLEGAL_ADDRESS, "signal %d", n);
  if (before[n].sa_flags & SA_SIGINFO) before[n].sa_sigaction(n, info, context);
  else if (before[n].sa_handler != SIG_DFL && before[n].sa_handler != SIG_IGN) before[n].sa_handler(n);
  else { signal(n, SIG_DFL); raise(n); }
}

void fiber_thread_start() {
  executor = true;
  stacks = (char *)mmap(nullptr, THREADS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stacks == MAP_FAILED) { perror("fakecuda: stacks"); abort(); }
  for (unsigned i = 0; i < THREADS; i++) mprotect(stacks + i * STACK, 4096, PROT_NONE); /* an overflow is a signal */
  stack_t alternate = {};
  alternate.ss_size = 64 << 10;
  alternate.ss_sp = malloc(alternate.ss_size);
  sigaltstack(&alternate, nullptr);
  struct sigaction a = {};
  a.sa_sigaction = on_signal;
  a.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigfillset(&a.sa_mask);
  for (int n : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigaction(n, &a, &before[n]);
}
