/* A device made of the host: memory of its own, a queue that works at once, the CPU's kernels and
 * optimiser. */
#ifndef TESTS_HOST_GPU_H
#define TESTS_HOST_GPU_H

#include "engine/stepper.h"

extern const Backend host_gpu;
/* Of its memory, alive. */
int host_gpu_blocks(void);
/* Seconds between two marks. */
double host_gpu_between(int first, int last);

#endif
