#define _DEFAULT_SOURCE /* madvise */
#include "engine/host_memory.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Alignment may cost one huge page: 1.6 % of the smallest block that asks for them. */
enum { LINE = 64, HUGE_PAGE = 2 << 20, LARGE = 64 * HUGE_PAGE };

void *host_alloc(size_t bytes) {
  size_t unit = bytes < LARGE ? LINE : HUGE_PAGE;
  size_t size = (bytes + unit - 1) / unit * unit;
  void *memory = aligned_alloc(unit, size ? size : LINE);
  if (memory && unit == HUGE_PAGE)
    madvise(memory, size, MADV_HUGEPAGE); /* a wish: refusal costs time only */
  return memory;
}
