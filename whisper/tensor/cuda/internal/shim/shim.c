//go:build cuda && linux

// Every function of the driver's API as a hidden trampoline: a jump through a slot. The slots hold a function that reports an
// error until shim_load has opened the driver's library. So the library is no dependency of the program, and one binary runs
// with a driver and without.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stddef.h>

#define HIDDEN __attribute__((visibility("hidden")))
typedef int CUresult;
enum { NO_DEVICE = 100, NOT_FOUND = 500, NO_LIBRARY = -1 };

static CUresult before_load(void) { return NO_DEVICE; }
static CUresult missing(void) { return NOT_FOUND; }

#define X(name) HIDDEN void *shim_slot_##name = (void *)before_load;
#include "symbols.h"
#undef X

#if defined(__x86_64__)
#define JUMP(name) "  jmp *shim_slot_" #name "(%rip)\n"
#elif defined(__aarch64__)
#define JUMP(name) "  adrp x16, shim_slot_" #name "\n  ldr x16, [x16, :lo12:shim_slot_" #name "]\n  br x16\n"
#else
#error "the CUDA backend is for amd64 and arm64"
#endif
#define X(name) \
  __asm__(".pushsection .text\n.globl " #name "\n.hidden " #name "\n.type " #name ",%function\n" #name ":\n" JUMP(name) \
          ".size " #name ", .-" #name "\n.popsection\n");
#include "symbols.h"
#undef X

static const struct { const char *name; void **slot; } table[] = {
#define X(name) { #name, &shim_slot_##name },
#include "symbols.h"
#undef X
};

// gorgonia.org/cu calls cuInit when the program starts, and ends the process where that fails. It is told that all is well; the
// driver's own cuInit is called by shim_load.
HIDDEN CUresult cuInit(unsigned flags) { (void)flags; return 0; }

// shim_load opens the library, starts the driver and fills the slots. It returns the driver's result, or NO_LIBRARY with the
// reason in text.
HIDDEN CUresult shim_load(const char *path, char *text, size_t n) {
  void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!lib) { snprintf(text, n, "%s", dlerror()); return NO_LIBRARY; }
  CUresult (*init)(unsigned) = (CUresult (*)(unsigned))dlsym(lib, "cuInit");
  if (!init) { snprintf(text, n, "%s has no cuInit", path); return NO_LIBRARY; }
  CUresult rc = init(0);
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    void *f = dlsym(lib, table[i].name);
    *table[i].slot = f ? f : (void *)missing;
  }
  return rc;
}
