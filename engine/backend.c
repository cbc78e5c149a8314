#include "engine/backend.h"

#include <string.h>

static void *cpu_alloc(size_t bytes) {
  return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

/* MemAvailable: what the kernel would give without swapping. */
static size_t cpu_available(void) {
  FILE *file = fopen("/proc/meminfo", "r");
  if (!file) return SIZE_MAX;
  char line[128];
  unsigned long long kib = 0;
  while (fgets(line, sizeof line, file))
    if (sscanf(line, "MemAvailable: %llu", &kib) == 1) break;
  fclose(file);
  return kib ? (size_t)kib << 10 : SIZE_MAX;
}

const Backend backend_cpu = {"cpu", F32, kernels_cpu, cpu_alloc, free, cpu_available};
const Backend backend_portable = {"portable", F32,  kernels_portable,
                                  cpu_alloc,  free, cpu_available};
const Backend backend_reference = {"reference", F64,  kernels_reference,
                                   cpu_alloc,   free, cpu_available};

const Backend *backend_find(const char *name) {
  static const Backend *const all[] = {&backend_cpu, &backend_portable, &backend_reference};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (strcmp(all[i]->name, name) == 0) return all[i];
  return NULL;
}
