/* faults.cc: settings from the environment or from a test, counters, and what went wrong. */
#include <cstdio>
#include <cstdlib>
#include "fake.h"

static const char *setting_names[SETTINGS] = {"lose_at", "no_capture", "no_instantiate", "memory", "seed"};
static const char *setting_variables[SETTINGS] = {"FAKECUDA_LOSE_AT", "FAKECUDA_NO_CAPTURE", "FAKECUDA_NO_INSTANTIATE", "FAKECUDA_MEMORY",
                                                  "FAKECUDA_SEED"};
static const char *counter_names[COUNTERS] = {"kernels", "products", "graphs", "allocations", "bytes", "host", "faults"};
long long settings[SETTINGS], counters[COUNTERS];
static std::map<int, std::string> &texts = *new std::map<int, std::string>;

static long long number(const char *text) {
  char *end;
  long long v = strtoll(text, &end, 10);
  return *end == 'k' ? v << 10 : *end == 'm' ? v << 20 : *end == 'g' ? v << 30 : v;
}
__attribute__((constructor)) static void read_environment() {
  settings[SET_MEMORY] = 1 << 30;
  for (int i = 0; i < SETTINGS; i++)
    if (const char *v = getenv(setting_variables[i])) settings[i] = number(v);
}

CUresult fault(CUresult code, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (!getenv("FAKECUDA_QUIET")) fprintf(stderr, "fakecuda: %s\n", text);
  counters[COUNT_FAULTS]++;
  texts[code] = text;
  return code;
}
std::string fault_text(CUresult code) {
  auto it = texts.find(code);
  return it == texts.end() ? "" : it->second;
}
void forget_faults() { texts.clear(); }

/* For tests: sets a setting; 0 where there is none of this name. */
API int fakecuda_set(const char *name, long long value) {
  LOCK;
  for (int i = 0; i < SETTINGS; i++)
    if (!strcmp(name, setting_names[i])) { settings[i] = value; return 1; }
  return 0;
}
/* For tests: a counter, or -1. */
API long long fakecuda_get(const char *name) {
  LOCK;
  for (int i = 0; i < COUNTERS; i++)
    if (!strcmp(name, counter_names[i])) return counters[i];
  return -1;
}
