/* The places of a call's temporary blocks in its scratch memory. */
#ifndef KERNELS_CUDA_ROOM_H
#define KERNELS_CUDA_ROOM_H

#include <stddef.h>

/* Adds a block of `bytes` and returns its offset; 256-byte aligned from the start of the scratch.
 */
static inline size_t room_add(size_t *total, size_t bytes) {
  size_t offset = *total;
  *total += (bytes + 255) / 256 * 256;
  return offset;
}

#endif
