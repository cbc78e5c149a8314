#include "engine/backend.h"

#include <string.h>

#include "engine/host_memory.h"

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

const Backend backend_cpu = {"cpu", F32, kernels_cpu, host_alloc, free, cpu_available, NULL};
const Backend backend_portable = {"portable",    F32, kernels_portable, host_alloc, free,
                                  cpu_available, NULL};
const Backend backend_reference = {"reference",   F64, kernels_reference, host_alloc, free,
                                   cpu_available, NULL};

const Backend *backend_find(const char *name) {
  static const Backend *const all[] = {&backend_cpu, &backend_portable, &backend_reference};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (strcmp(all[i]->name, name) == 0) return all[i];
  return NULL;
}

/* engine/cuda_backend.cu, in a CUDA build. */
#ifdef WITH_CUDA
const Backend *cuda_open(int index, Error *error);
bool cuda_info(int index, DeviceInfo *info, Error *error);
#else
static const Backend *cuda_open(int index, Error *error) {
  (void)index;
  fail(error, "--device cuda: this program was built without CUDA; `make CUDA=1` builds it where "
              "nvcc and cuDNN are");
  return NULL;
}
static bool cuda_info(int index, DeviceInfo *info, Error *error) {
  *info = (DeviceInfo){0};
  return cuda_open(index, error) != NULL;
}
#endif

enum { NO_DEVICE = -2, CPU = -1 };

/* The GPU's number, CPU or NO_DEVICE. */
static int device_index(const char *name, Error *error) {
  int index = 0, used = 0;
  if (strcmp(name, "cpu") == 0) return CPU;
  if (strcmp(name, "cuda") == 0) return 0;
  if (sscanf(name, "cuda:%4d%n", &index, &used) == 1 && !name[used] && index >= 0) return index;
  fail(error, "the device is cpu, cuda or cuda:NUMBER, not \"%s\"", name);
  return NO_DEVICE;
}

const Backend *backend_open(const char *name, Error *error) {
  int index = device_index(name, error);
  return index == CPU ? &backend_cpu : index == NO_DEVICE ? NULL : cuda_open(index, error);
}

bool backend_check(const char *name, Error *error) {
  DeviceInfo info;
  int index = device_index(name, error);
  return index < 0 ? index == CPU : cuda_info(index, &info, error);
}

bool backend_gpu(int index, DeviceInfo *info, Error *error) {
  return cuda_info(index, info, error);
}

bool backend_names_gpu(const char *name, int *index) {
  Error none = {""};
  *index = device_index(name, &none);
  return *index >= 0;
}

void backend_write(const Backend *backend, void *to, const void *from, size_t bytes) {
  if (backend->device)
    backend->device->copy_in(to, from, bytes);
  else
    memcpy(to, from, bytes);
}

void backend_read(const Backend *backend, void *to, const void *from, size_t bytes) {
  if (backend->device)
    backend->device->copy_out(to, from, bytes);
  else
    memcpy(to, from, bytes);
}
