/* What the files of the CUDA backend share. */
#ifndef ENGINE_CUDA_QUEUE_H
#define ENGINE_CUDA_QUEUE_H

#include "kernels/cuda/launch.h"

struct StepOps;
struct DeviceRates;
struct DeviceClocks;

cudaStream_t cuda_queue();
extern const struct StepOps cuda_step; /* cuda_stepper.cu */
void *cuda_record(void (*run)(void *), void *user);
double cuda_replay(void *recorded, int repeats);
void cuda_forget(void *recorded);
void cuda_flush(void);
void cuda_marks(int count);
void cuda_mark(int number);
double cuda_between(int first, int last);
void cuda_rates(struct DeviceRates *rates);
void cuda_clocks(struct DeviceClocks *clocks);
/* The driver's release, empty where NVML is not. */
void nvml_release(char *text, unsigned bytes);

#endif
