/* A GPU that is not here as a backend: plans are made for it, to the byte, with cuDNN's own engines
 * and workspaces; its memory is a range of addresses that nobody may touch, and a step that is
 * walked through counts its launches. */
#include "kernels/cuda/convolution.h"
#include "kernels/cuda/libraries.h"

#include <sys/mman.h>

extern "C" {
#include "engine/backend.h"
#include "kernels/cuda/kernel_table.h"
}

/* The addresses stand for memory that does not exist: there is nothing to give back. */
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

static const Device device = {.queue = no_queue,
                              .copy_in = copy_nothing,
                              .copy_out = copy_nothing,
                              .zero = zero_nothing,
                              .host_alloc = reserve,
                              .host_release = release};

static const Backend backend = {.name = "cuda",
                                .real = F32,
                                .kernels = kernels_cuda,
                                .alloc = reserve,
                                .release = release,
                                .available = available,
                                .device = &device};

extern "C" const Backend *cuda_plan(const char *properties, Error *error) {
  if (!libraries_plan(properties, error)) return NULL;
  memory = (size_t)gpu_property(properties, "totalGlobalMem");
  return &backend;
}
