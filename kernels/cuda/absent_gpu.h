/* A GPU that this machine does not have: kernels are prepared for it and memory is laid out, to
 * say what a step will need there; nothing is launched, what would be is counted. */
#ifndef KERNELS_CUDA_ABSENT_GPU_H
#define KERNELS_CUDA_ABSENT_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct AbsentGpu {
  int processors, threads; /* multiprocessors, threads that each holds; 0: the GPU is a real one */
} AbsentGpu;

extern AbsentGpu absent_gpu;

/* What this process put into the queue so far: kernels of ours and of the libraries, one for each
 * of their calls, copies and fills. */
extern int64_t gpu_launches;

/* A whole number of a flat JSON object, such as kernels/cuda/devices/h200.json; 0: none of that
 * name. */
double gpu_property(const char *json, const char *name);

#endif
