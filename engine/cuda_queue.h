/* What the files of the CUDA backend share. */
#ifndef ENGINE_CUDA_QUEUE_H
#define ENGINE_CUDA_QUEUE_H

#include "kernels/cuda/launch.h"

struct Stepper;

cudaStream_t cuda_queue();
void cuda_step_make(struct Stepper *stepper);
void *cuda_step_input(struct Stepper *stepper, int input);
void cuda_step_start(struct Stepper *stepper, double rate);
void cuda_step_wait(struct Stepper *stepper);
void cuda_step_release(struct Stepper *stepper);

#endif
