/* 3D convolutions by cuDNN 9's graph interface, channels last, the engine chosen when the plan is
 * made, by its time on this device (kernels/contest.h). What is allowed to it, kernel_mode says:
 * TF32 for F32 operands, and for the weight's gradient sums in an order that is not fixed. */
#ifndef KERNELS_CUDA_CONVOLUTION_H
#define KERNELS_CUDA_CONVOLUTION_H

#include "kernels/cuda/launch.h"

/* x (N, in.., channels) * w (outs, kernel.., channels) = y (N, out.., outs), all of one type. */
struct ConvolutionShape {
  DType type;
  int64_t batch, channels, outs;
  int64_t in[3], out[3], kernel[3], stride[3], padding[3];
};

/* What is computed of x, w and y; the other two are read. */
enum ConvolutionPass { CONVOLUTION_Y, CONVOLUTION_X, CONVOLUTION_W };

struct Convolution;
/* `bias`: numbers in F32, one a channel, are added to the y (or x) that is computed, to y by the
 * same engine where that is faster. NULL with the reason. The process keeps it: an equal question
 * gets the same one. */
const Convolution *convolution_make(const ConvolutionShape *shape, ConvolutionPass pass, bool bias,
                                    Error *error);
/* Scratch that a run needs, aligned as any. At most 1 GiB, or HARNESS_WORKSPACE MiB of the
 * environment. */
size_t convolution_workspace(const Convolution *convolution);
void convolution_run(const Convolution *convolution, void *stream, const void *x, const void *w,
                     const void *y, const float *bias, void *workspace);

#endif
