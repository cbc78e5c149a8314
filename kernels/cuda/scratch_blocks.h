/* The places of a call's temporary blocks in its scratch memory. */
#ifndef KERNELS_CUDA_SCRATCH_BLOCKS_H
#define KERNELS_CUDA_SCRATCH_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

enum { SCRATCH_ALIGN = 256 };

/* Adds a block of `bytes` and returns its offset; 256-byte aligned from the start of the
 * scratch. */
static inline size_t scratch_add(size_t *total, size_t bytes) {
  size_t offset = *total;
  *total += (bytes + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
  return offset;
}

/* A plan aligns scratch to 64 bytes, but libraries want 256 of their workspaces: one that begins at
 * the first such place has to be asked for with scratch_slack. */
static inline size_t scratch_slack(size_t bytes) {
  return bytes ? bytes + SCRATCH_ALIGN : 0;
}
static inline void *scratch_aligned(void *at) {
  uintptr_t place = (uintptr_t)at;
  return (void *)((place + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN);
}

#endif
