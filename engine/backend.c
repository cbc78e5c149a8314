#include "engine/backend.h"

#include <string.h>

#include "base/memory.h"
#include "engine/host_memory.h"

const Backend backend_cpu = {"cpu", F32, kernels_cpu, host_alloc, free, memory_available, NULL};
const Backend backend_portable = {"portable",       F32, kernels_portable, host_alloc, free,
                                  memory_available, NULL};
const Backend backend_reference = {"reference",      F64, kernels_reference, host_alloc, free,
                                   memory_available, NULL};

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
const Backend *cuda_plan(const char *properties, Error *error);
void convolution_choices(void (*visit)(const ConvolutionChoice *choice, void *user), void *user);
void product_choices(void (*visit)(const ProductChoice *choice, void *user), void *user);
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
static const Backend *cuda_plan(const char *properties, Error *error) {
  (void)properties;
  fail(error, "this program was built without CUDA, whose cuDNN plans for a GPU that is not here; "
              "`make CUDA=1` builds it where nvcc and cuDNN are");
  return NULL;
}
static void convolution_choices(void (*visit)(const ConvolutionChoice *choice, void *user),
                                void *user) {
  (void)visit, (void)user;
}
static void product_choices(void (*visit)(const ProductChoice *choice, void *user), void *user) {
  (void)visit, (void)user;
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

/* pytorch/pytorch #163539, #166480 (half types) and #167024 (TF32): without an error. */
const char *backend_dnn_warning(int version) {
  bool half = version >= 90800 && version < 91500, tf32 = version >= 91002 && version < 91600;
  return half && tf32 ? "cuDNN 9.10.2 to 9.14 give wrong 3D convolutions in bf16 and in TF32: take "
                        "9.16 or later"
         : half       ? "cuDNN 9.8 to 9.14 give wrong 3D convolutions in bf16: take 9.16 or later"
         : tf32 ? "cuDNN 9.10.2 to 9.15 give wrong 3D convolutions in TF32: take 9.16 or later"
                : NULL;
}

bool backend_names_gpu(const char *name, int *index) {
  Error none = {""};
  *index = device_index(name, &none);
  return *index >= 0;
}

static bool read_properties(const char *home, const char *name, char *text, size_t bytes,
                            Error *error) {
  char path[4200];
  snprintf(path, sizeof path, "%.4000s/kernels/cuda/devices/%.32s.json", home, name);
  FILE *file = strchr(name, '/') ? NULL : fopen(path, "r");
  size_t count = file ? fread(text, 1, bytes - 1, file) : 0;
  if (file) fclose(file);
  text[count] = 0;
  return count > 0 || fail(error,
                           "no GPU \"%s\" is known: a100, h100 or h200, the files of "
                           "kernels/cuda/devices/",
                           name);
}

const Backend *backend_planned(const char *home, const char *name, Error *error) {
  char properties[4096];
  if (!read_properties(home, name, properties, sizeof properties, error)) return NULL;
  return cuda_plan(properties, error);
}

void backend_engines(void (*visit)(const ConvolutionChoice *choice, void *user), void *user) {
  convolution_choices(visit, user);
}

void backend_products(void (*visit)(const ProductChoice *choice, void *user), void *user) {
  product_choices(visit, user);
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
