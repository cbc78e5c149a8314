/* Copies of nets' parameters in BF16, in a GPU's memory: products in BF16 read them instead of
 * casting the float ones at every call. Whoever changes the parameters keeps the copy: the
 * optimiser's update writes both, what comes from the host makes it stale. */
#ifndef KERNELS_CUDA_HALF_WEIGHTS_H
#define KERNELS_CUDA_HALF_WEIGHTS_H

#include <stdbool.h>
#include <stdint.h>

/* half: as many numbers as `weights`, in the device's memory, the caller's; stale at first. */
void half_weights_add(const float *weights, int64_t elements, uint16_t *half);
void half_weights_drop(const float *weights);
/* Of the block at this address: the copy is not what it was, or is again. */
void half_weights_stale(const void *weights);
void half_weights_fresh(const float *weights);
bool half_weights_are_stale(const float *weights);
/* The copy of what lies at an address within a block; NULL: there is none that can be read. */
void *half_weights_at(const void *at);

#endif
