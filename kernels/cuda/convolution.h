/* 3D convolutions by cuDNN 9's graph interface, channels last, the engine chosen when the plan is
 * made, by its time on this device (kernels/cuda/autotune.h). What is allowed to it, kernel_mode
 * says: TF32 for F32 operands, and for the weight's gradient sums in an order that is not fixed.
 * Engines that are compiled at run time, seconds each in every process, only with
 * HARNESS_ENGINES=compiled in the environment. */
#ifndef KERNELS_CUDA_CONVOLUTION_H
#define KERNELS_CUDA_CONVOLUTION_H

#include "kernels/cuda/launch.h"

extern "C" {
#include "kernels/cuda/choice.h"
}

struct Convolution;
/* `bias`: numbers of the shape's type, one a channel, are added to the y (or x) that is computed,
 * to y by the same engine where that is faster. NULL with the reason. The process keeps it: an
 * equal question gets the same one. */
const Convolution *convolution_make(const ConvolutionShape *shape, ConvolutionPass pass, bool bias,
                                    Error *error);
/* Scratch that a run needs, aligned as any. At most 1 GiB, or HARNESS_WORKSPACE MiB of the
 * environment. */
size_t convolution_workspace(const Convolution *convolution);
void convolution_run(const Convolution *convolution, void *stream, const void *x, const void *w,
                     const void *y, const void *bias, void *workspace);
/* All that were made for the GPU that is open or planned for. */
extern "C" void convolution_choices(void (*visit)(const ConvolutionChoice *choice, void *user),
                                    void *user);

#endif
