#include "tests/emulated_device.h"
#include "kernels/cuda/kernel_table.h"

#include <stdlib.h>
#include <string.h>

static void *queue(void) {
  return NULL;
}

static void copy(void *to, const void *from, size_t bytes) {
  memcpy(to, from, bytes);
}

static void zero(void *to, size_t bytes) {
  memset(to, 0, bytes);
}

/* Full of NaN, as a device's memory may be. */
static void *alloc(size_t bytes) {
  void *memory = aligned_alloc(64, (bytes + 64) / 64 * 64);
  if (memory) memset(memory, 0xff, bytes);
  return memory;
}

static size_t available(void) {
  return 1 << 30;
}

static const Device device = {.queue = queue,
                              .copy_in = copy,
                              .copy_out = copy,
                              .zero = zero,
                              .patches = &patch_ops_emulated,
                              .slabs = &slab_ops_emulated};

const Backend emulated_device = {.name = "emulated",
                                 .real = F32,
                                 .alloc = alloc,
                                 .release = free,
                                 .available = available,
                                 .device = &device};
