/* api.cc: devices, contexts, memory, modules and launches. */
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <set>
#include "fake.h"

static const int MAX_DEVICES = 16;
static context *const contexts = new context[MAX_DEVICES];
static std::map<char *, size_t> &host_memory = *new std::map<char *, size_t>; /* page-locked */

/* ---- devices ---- */
static int devices() {
  const char *n = getenv("FAKECUDA_DEVICES");
  return n ? std::min(atoi(n), MAX_DEVICES) : 1;
}
/* Ten times the compute capability */
static int capability() {
  int major = 9, minor = 0;
  if (const char *c = getenv("FAKECUDA_CAPABILITY")) sscanf(c, "%d.%d", &major, &minor);
  return 10 * major + minor;
}
API CUresult cuInit(unsigned) { return devices() ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE; }
API CUresult cuDriverGetVersion(int *v) { *v = 13000; return CUDA_SUCCESS; }
API CUresult cuDeviceGetCount(int *n) { *n = devices(); return CUDA_SUCCESS; }
API CUresult cuDeviceGet(CUdevice *d, int ordinal) {
  if (ordinal < 0 || ordinal >= devices()) return CUDA_ERROR_INVALID_DEVICE;
  *d = ordinal;
  return CUDA_SUCCESS;
}
API CUresult cuDeviceGetName(char *name, int n, CUdevice d) { snprintf(name, (size_t)n, "fake device %d on the CPU", d); return CUDA_SUCCESS; }
API CUresult cuDeviceTotalMem_v2(size_t *n, CUdevice) { LOCK; *n = (size_t)settings[SET_MEMORY]; return CUDA_SUCCESS; }
API CUresult cuDeviceGetAttribute(int *v, CUdevice_attribute a, CUdevice) {
  switch (a) {
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *v = capability() / 10; break;
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *v = capability() % 10; break;
  case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *v = 132; break;
  case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *v = 227 << 10; break;
  case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *v = 48 << 10; break;
  case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *v = 32; break;
  case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: *v = 256 << 10; break;
  case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE: *v = 0; break; /* as CUDA 13 has it */
  case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: *v = 5120; break;
  default: *v = 1024;
  }
  return CUDA_SUCCESS;
}

/* ---- errors ---- */
static const struct { CUresult code; const char *name, *text; } results[] = {
#define R(code, text) { code, #code, text },
  R(CUDA_SUCCESS, "no error") R(CUDA_ERROR_INVALID_VALUE, "invalid argument") R(CUDA_ERROR_OUT_OF_MEMORY, "out of memory")
  R(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected") R(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal")
  R(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid") R(CUDA_ERROR_INVALID_CONTEXT, "invalid device context")
  R(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed") R(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle")
  R(CUDA_ERROR_ILLEGAL_STATE, "the operation cannot be performed in the present state") R(CUDA_ERROR_NOT_FOUND, "named symbol not found")
  R(CUDA_ERROR_NOT_READY, "device not ready") R(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered")
  R(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure") R(CUDA_ERROR_NOT_SUPPORTED, "operation not supported")
  R(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address")
  R(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing")
  R(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "operation failed due to a previous error during capture")
#undef R
};
API CUresult cuGetErrorName(CUresult code, const char **name) {
  for (auto &r : results) if (r.code == code) { *name = r.name; return CUDA_SUCCESS; }
  return CUDA_ERROR_INVALID_VALUE;
}
API CUresult cuGetErrorString(CUresult code, const char **text) {
  LOCK;
  static std::set<std::string> kept;
  for (auto &r : results)
    if (r.code == code) {
      std::string fault = fault_text(code);
      *text = kept.insert(fault.empty() ? r.text : r.text + (": " + fault)).first->c_str();
      return CUDA_SUCCESS;
    }
  return CUDA_ERROR_INVALID_VALUE;
}

/* ---- contexts ---- */
API CUresult cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice d) {
  LOCK;
  context *c = &contexts[d];
  if (!c->retained++) {
    c->device = d, c->lost = CUDA_SUCCESS;
    c->memory = make_arena((size_t)settings[SET_MEMORY]);
    forget_faults();
  }
  if (!c->memory) return CUDA_ERROR_OUT_OF_MEMORY;
  *out = (CUcontext)c;
  return CUDA_SUCCESS;
}
API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice d) {
  LOCK;
  context *c = &contexts[d];
  if (c->retained <= 0) return CUDA_ERROR_INVALID_CONTEXT;
  if (--c->retained) return CUDA_SUCCESS;
  drain_all(lock, c);
  CUresult rc = c->lost ? CUDA_SUCCESS : arena_check(c->memory, "somebody");
  destroy_arena(c->memory);
  c->memory = nullptr;
  return rc;
}
API CUresult cuCtxSetCurrent(CUcontext c) { current = (context *)c; return CUDA_SUCCESS; }
API CUresult cuCtxGetCurrent(CUcontext *c) { *c = (CUcontext)current; return CUDA_SUCCESS; }

/* ---- memory ---- */
static CUresult lose(CUresult rc) {
  if (rc == CUDA_ERROR_ILLEGAL_ADDRESS) current->lost = rc;
  return rc;
}
API CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
  CONTEXT;
  *total = arena_limit(current->memory);
  *free = *total - arena_used(current->memory);
  return CUDA_SUCCESS;
}
API CUresult cuMemAlloc_v2(CUdeviceptr *p, size_t n) {
  CONTEXT;
  WAITING;
  return lose(arena_alloc(current->memory, p, n));
}
API CUresult cuMemFree_v2(CUdeviceptr p) {
  CONTEXT;
  WAITING;
  if (CUresult rc = drain_all(lock, current)) return rc;
  return lose(arena_free(current->memory, p));
}
API CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr p) {
  CONTEXT;
  return arena_range(current->memory, p, base, size) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
API CUresult cuMemHostAlloc(void **p, size_t n, unsigned) {
  CONTEXT;
  WAITING;
  if (!(*p = malloc(n))) return CUDA_ERROR_OUT_OF_MEMORY;
  memset(*p, 0xff, n);
  host_memory[(char *)*p] = n;
  counters[COUNT_HOST]++;
  return CUDA_SUCCESS;
}
API CUresult cuMemFreeHost(void *p) {
  LOCK;
  if (!current) return CUDA_ERROR_INVALID_CONTEXT;
  if (!host_memory.count((char *)p)) return CUDA_ERROR_INVALID_VALUE;
  drain_all(lock, current);
  host_memory.erase((char *)p);
  counters[COUNT_HOST]--;
  free(p);
  return CUDA_SUCCESS;
}
static bool pinned(const void *p, size_t n) {
  auto it = host_memory.upper_bound((char *)p);
  if (it == host_memory.begin()) return false;
  --it;
  return (const char *)p + n <= it->first + it->second;
}

/* Queues work on n bytes at each of the addresses, which must be in allocations now and when it runs. */
static CUresult touch(CUstream h, const char *what, size_t n, std::vector<CUdeviceptr> at, std::function<void()> f) {
  arena *m = current->memory;
  for (CUdeviceptr p : at)
    if (!arena_holds(m, p, n)) return fault(CUDA_ERROR_INVALID_VALUE, "%s of %zu bytes at %#llx, which are not in one allocation", what, n, p);
  return enqueue((stream_t *)h, [=] {
    for (CUdeviceptr p : at)
      if (!arena_holds(m, p, n)) return fault(CUDA_ERROR_ILLEGAL_ADDRESS, "%s of %zu bytes at %#llx, which are not in one allocation", what, n, p);
    f();
    return CUDA_SUCCESS;
  });
}
API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t n, CUstream h) {
  CONTEXT;
  if (pinned(from, n)) return touch(h, "a copy from the host", n, {to}, [=] { memcpy((void *)to, from, n); });
  WAITING; /* other memory is copied aside at once, which a capture cannot */
  auto aside = std::make_shared<std::string>((const char *)from, n);
  return touch(h, "a copy from the host", n, {to}, [=] { memcpy((void *)to, aside->data(), n); });
}
API CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t n, CUstream h) {
  CONTEXT;
  return touch(h, "a copy to the host", n, {from}, [=] { memcpy(to, (void *)from, n); });
}
API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream h) {
  CONTEXT;
  if (to < from + n && from < to + n) return fault(CUDA_ERROR_INVALID_VALUE, "a copy of %zu bytes onto itself", n);
  return touch(h, "a copy on the device", n, {to, from}, [=] { memcpy((void *)to, (void *)from, n); });
}
API CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char v, size_t n, CUstream h) {
  CONTEXT;
  return touch(h, "a set", n, {to}, [=] { memset((void *)to, v, n); });
}

/* ---- modules ---- */
struct function_t { const kp_kernel *kernel; int shared, most; };
struct module_t {
  std::map<std::string, std::vector<size_t>> entries;
  std::map<std::string, int> shared; /* static, by kernel */
  std::map<std::string, function_t> functions;
};

static size_t parameter_size(const std::string &p) { /* ".param .u64 name", ".param .align 8 .b8 name[16]" */
  size_t at = p.find(".param") + 6;
  for (; (at = p.find('.', at)) != std::string::npos; at++)
    if (strchr("usbf", p[at + 1]) && isdigit(p[at + 2])) break;
  if (at == std::string::npos) return 0;
  size_t size = (size_t)atoi(p.c_str() + at + 2) / 8, array = p.find('[', at);
  return array == std::string::npos ? size : size * (size_t)atoi(p.c_str() + array + 1);
}
static void parse(const std::string &ptx, module_t *m) {
  for (size_t at = 0; (at = ptx.find(".entry ", at)) != std::string::npos;) {
    at += 7;
    size_t open = ptx.find('(', at), close = ptx.find(')', at);
    std::string name = ptx.substr(at, open - at);
    while (!name.empty() && isspace((unsigned char)name.back())) name.pop_back();
    std::vector<size_t> sizes;
    std::string list = ptx.substr(open, close - open);
    for (size_t q = 0; (q = list.find(".param", q)) != std::string::npos; q += 6) sizes.push_back(parameter_size(list.substr(q, list.find(',', q) - q)));
    m->entries[name] = sizes;
    std::string mark = "_ZZ" + std::to_string(name.size()) + name + "E"; /* a static of the kernel */
    for (size_t s = 0; (s = ptx.find(".shared ", s)) != std::string::npos; s += 8) {
      std::string line = ptx.substr(s, ptx.find('\n', s) - s);
      size_t array = line.find('[');
      if (line.find(mark) != std::string::npos && array != std::string::npos) m->shared[name] += atoi(line.c_str() + array + 1);
    }
    at = close;
  }
}
API CUresult cuModuleLoadDataEx(CUmodule *out, const void *image, unsigned n, CUjit_option *options, void **values) {
  CONTEXT;
  WAITING;
  std::string ptx((const char *)image);
  if (ptx.find(".version") == std::string::npos) {
    if (n == 2 && options[0] == CU_JIT_ERROR_LOG_BUFFER) snprintf((char *)values[0], (size_t)values[1], "ptxas fatal: no .version directive");
    return CUDA_ERROR_INVALID_PTX;
  }
  module_t *m = new module_t;
  parse(ptx, m);
  *out = (CUmodule)m;
  return CUDA_SUCCESS;
}
API CUresult cuModuleLoadData(CUmodule *out, const void *image) { return cuModuleLoadDataEx(out, image, 0, nullptr, nullptr); }
API CUresult cuModuleUnload(CUmodule m) { LOCK; delete (module_t *)m; return CUDA_SUCCESS; }
API CUresult cuModuleGetFunction(CUfunction *out, CUmodule h, const char *name) {
  CONTEXT;
  module_t *m = (module_t *)h;
  auto entry = m->entries.find(name);
  if (entry == m->entries.end()) return CUDA_ERROR_NOT_FOUND;
  const kp_kernel *k = kp_kernels;
  while (k && strcmp(k->name, name)) k = k->next;
  if (!k) return fault(CUDA_ERROR_NOT_FOUND, "%s is in the PTX and in no source that the fake was built from", name);
  if (entry->second != std::vector<size_t>(k->sizes, k->sizes + k->n))
    return fault(CUDA_ERROR_INVALID_PTX, "%s: the parameters of the PTX are not those of the source", name);
  *out = (CUfunction)&(m->functions[name] = function_t{k, m->shared[name], 48 << 10});
  return CUDA_SUCCESS;
}
API CUresult cuFuncGetAttribute(int *v, CUfunction_attribute a, CUfunction h) {
  CONTEXT;
  if (a != CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES) return CUDA_ERROR_NOT_SUPPORTED;
  *v = ((function_t *)h)->shared;
  return CUDA_SUCCESS;
}
API CUresult cuFuncSetAttribute(CUfunction h, CUfunction_attribute a, int v) {
  CONTEXT;
  function_t *f = (function_t *)h;
  if (a != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || v + f->shared > 227 << 10) return CUDA_ERROR_INVALID_VALUE;
  f->most = v;
  return CUDA_SUCCESS;
}
API CUresult cuLaunchKernel(CUfunction h, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream s,
                            void **params, void **) {
  CONTEXT;
  function_t *f = (function_t *)h;
  if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || !bx || !by || !bz || bx > 1024 || by > 1024 || bz > 64 || bx * by * bz > 1024 ||
      (int)shared > f->most)
    return CUDA_ERROR_INVALID_VALUE;
  auto l = std::make_shared<launch_t>(launch_t{f->kernel, {gx, gy, gz}, {bx, by, bz}, shared, std::vector<char>(8 * f->kernel->n)});
  for (unsigned i = 0; i < f->kernel->n; i++) memcpy(l->args.data() + 8 * i, params[i], f->kernel->sizes[i]);
  arena *m = current->memory;
  return enqueue((stream_t *)s, [l, m] {
    if (settings[SET_LOSE_AT] > 0 && --settings[SET_LOSE_AT] == 0) return fault(CUDA_ERROR_LAUNCH_FAILED, "%s: an injected fault", l->kernel->name);
    counters[COUNT_KERNELS]++;
    if (CUresult rc = run_kernel(*l)) return rc;
    return arena_check(m, l->kernel->name);
  });
}
API CUresult cuLaunchKernelEx(const CUlaunchConfig *c, CUfunction f, void **params, void **extra) {
  return cuLaunchKernel(f, c->gridDimX, c->gridDimY, c->gridDimZ, c->blockDimX, c->blockDimY, c->blockDimZ, c->sharedMemBytes, c->hStream, params, extra);
}
