/* memory.cc: device memory. Every allocation has a guard zone on both sides; fresh memory, guard zones and freed memory are filled with 0xff,
 * which reads as NaN. Which part of the arena an allocation gets depends on what is free and not on the order in which it became so. */
#include <sys/mman.h>
#include <cstring>
#include "fake.h"

static const size_t ZONE = 256, ARENA = (size_t)1 << 36;

struct arena {
  char *base;
  size_t limit, used = 0, reached = 0;           /* reached: the bytes that were ever handed out */
  std::map<CUdeviceptr, size_t> taken;           /* payload -> size asked for */
  std::map<size_t, size_t> free;                 /* offset -> length, neighbours joined */
};

static size_t up(size_t n) { return (n + ZONE - 1) / ZONE * ZONE; }

/* Whether all of n bytes are 0xff. */
static bool blank(const char *p, size_t n) {
  for (; n && ((uintptr_t)p & 7); p++, n--) if (*p != (char)0xff) return false;
  for (; n >= 8; p += 8, n -= 8) { uint64_t v; memcpy(&v, p, 8); if (v != ~0ull) return false; }
  for (; n; p++, n--) if (*p != (char)0xff) return false;
  return true;
}

arena *make_arena(size_t limit) {
  void *p = mmap(nullptr, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  arena *a = new arena;
  a->base = (char *)p;
  a->limit = limit;
  a->free[0] = ARENA;
  return a;
}
void destroy_arena(arena *a) {
  counters[COUNT_ALLOCATIONS] -= (long long)a->taken.size();
  counters[COUNT_BYTES] -= (long long)a->used;
  munmap(a->base, ARENA);
  delete a;
}
size_t arena_limit(arena *a) { return a->limit; }
size_t arena_used(arena *a) { return a->used; }

CUresult arena_alloc(arena *a, CUdeviceptr *out, size_t n) {
  if (!n) return CUDA_ERROR_INVALID_VALUE;
  if (n > a->limit || a->used + n > a->limit) return CUDA_ERROR_OUT_OF_MEMORY;
  size_t need = up(n) + 2 * ZONE;
  auto best = a->free.end();
  for (auto it = a->free.begin(); it != a->free.end(); ++it)
    if (it->second >= need && (best == a->free.end() || it->second < best->second)) best = it;
  if (best == a->free.end()) return CUDA_ERROR_OUT_OF_MEMORY;
  size_t at = best->first, length = best->second;
  a->free.erase(best);
  if (length > need) a->free[at + need] = length - need;
  char *p = a->base + at;
  size_t old = at < a->reached ? std::min(need, a->reached - at) : 0;
  if (!blank(p, old)) return fault(CUDA_ERROR_ILLEGAL_ADDRESS, "memory was written after it was freed");
  memset(p + old, 0xff, need - old);
  a->reached = std::max(a->reached, at + need);
  *out = (CUdeviceptr)(p + ZONE);
  a->taken[*out] = n;
  a->used += n;
  counters[COUNT_ALLOCATIONS]++;
  counters[COUNT_BYTES] += (long long)n;
  return CUDA_SUCCESS;
}

/* Whether the zones of an allocation are whole. */
static CUresult zones(CUdeviceptr p, size_t n, const char *what) {
  const char *c = (const char *)p;
  if (!blank(c - ZONE, ZONE))
    return fault(CUDA_ERROR_ILLEGAL_ADDRESS, "%s wrote before an allocation of %zu bytes", what, n);
  if (!blank(c + n, up(n) - n + ZONE))
    return fault(CUDA_ERROR_ILLEGAL_ADDRESS, "%s wrote behind an allocation of %zu bytes", what, n);
  return CUDA_SUCCESS;
}

CUresult arena_free(arena *a, CUdeviceptr p) {
  auto it = a->taken.find(p);
  if (it == a->taken.end()) return fault(CUDA_ERROR_INVALID_VALUE, "cuMemFree of what is not allocated");
  size_t n = it->second;
  CUresult rc = zones(p, n, "somebody");
  a->taken.erase(it);
  a->used -= n;
  counters[COUNT_ALLOCATIONS]--;
  counters[COUNT_BYTES] -= (long long)n;
  size_t at = (size_t)((char *)p - ZONE - a->base), length = up(n) + 2 * ZONE;
  memset(a->base + at, 0xff, length);
  auto next = a->free.lower_bound(at);
  if (next != a->free.end() && at + length == next->first) { length += next->second; next = a->free.erase(next); }
  if (next != a->free.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == at) { before->second += length; return rc; }
  }
  a->free[at] = length;
  return rc;
}

bool arena_range(arena *a, CUdeviceptr p, CUdeviceptr *base, size_t *size) {
  auto it = a->taken.upper_bound(p);
  if (it == a->taken.begin()) return false;
  --it;
  if (p >= it->first + it->second) return false;
  *base = it->first, *size = it->second;
  return true;
}
bool arena_holds(arena *a, CUdeviceptr p, size_t n) {
  CUdeviceptr base;
  size_t size;
  return n == 0 || (arena_range(a, p, &base, &size) && p + n <= base + size);
}
CUresult arena_check(arena *a, const char *what) {
  for (auto &t : a->taken)
    if (CUresult rc = zones(t.first, t.second, what)) return rc;
  for (auto &f : a->free) { /* what was freed, but not what was never used; long stretches are looked at when they are used again */
    size_t n = f.first < a->reached ? std::min({f.second, a->reached - f.first, (size_t)4096}) : 0;
    if (!blank(a->base + f.first, n)) return fault(CUDA_ERROR_ILLEGAL_ADDRESS, "%s wrote to memory that was freed", what);
  }
  return CUDA_SUCCESS;
}
