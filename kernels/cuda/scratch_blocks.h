/* The places of a call's temporary blocks in its scratch memory. */
#ifndef KERNELS_CUDA_SCRATCH_BLOCKS_H
#define KERNELS_CUDA_SCRATCH_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

enum { ROOM_ALIGN = 256 };

/* Adds a block of `bytes` and returns its offset; 256-byte aligned from the start of the scratch.
 */
static inline size_t room_add(size_t *total, size_t bytes) {
  size_t offset = *total;
  *total += (bytes + ROOM_ALIGN - 1) / ROOM_ALIGN * ROOM_ALIGN;
  return offset;
}

/* A plan aligns scratch to 64 bytes, but libraries want 256 of their workspaces: one that begins at
 * the first such place has to be asked for with room_slack. */
static inline size_t room_slack(size_t bytes) {
  return bytes ? bytes + ROOM_ALIGN : 0;
}
static inline void *room_aligned(void *at) {
  uintptr_t place = (uintptr_t)at;
  return (void *)((place + ROOM_ALIGN - 1) / ROOM_ALIGN * ROOM_ALIGN);
}

#endif
