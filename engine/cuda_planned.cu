/* A GPU that is not here as a backend: plans are made for it, to the byte, with cuDNN's own engines
 * and workspaces; its memory is a range of addresses that nobody may touch, and a step that is
 * walked through counts its launches. */
#include "kernels/cuda/convolution.h"
#include "kernels/cuda/libraries.h"

#include <sys/mman.h>

extern "C" {
#include "engine/backend.h"
#include "kernels/cuda/table.h"
}

/* What was reserved stays so: these are no bytes. */
static void *reserve(size_t bytes) {
  void *range =
      mmap(NULL, bytes ? bytes : 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return range == MAP_FAILED ? NULL : range;
}

static void release(void *) {
}

static size_t memory;

static size_t available(void) {
  return memory;
}

static void *no_queue(void) {
  return NULL;
}

static void copy_nothing(void *, const void *, size_t) {
}

static void zero_nothing(void *, size_t) {
}

extern "C" const Backend *cuda_plan(const char *properties, Error *error) {
  static Device device;
  static const Backend backend = {"cuda", F32, kernels_cuda, reserve, release, available, &device};
  if (!libraries_plan(properties, error)) return NULL;
  memory = (size_t)planned_property(properties, "totalGlobalMem");
  device.queue = no_queue;
  device.copy_in = device.copy_out = copy_nothing;
  device.zero = zero_nothing;
  device.host_alloc = reserve;
  device.host_release = release;
  return &backend;
}
