/* y = act(x w^T + b) over the rows of x: the op linear, and a convolution of one voxel. Operands as
 * linear's: w (Eout, Ein), b (Eout), x (..., Ein). Where x or y is BF16 all are multiplied in
 * BF16. */
#ifndef KERNELS_CUDA_DENSE_H
#define KERNELS_CUDA_DENSE_H

#include "kernels/cuda/launch.h"

/* Sets scratch_bytes and state. tf32: F32 operands may be rounded to it. */
bool dense_prepare(Call *call, bool relu, bool tf32, Error *error);
void dense_forward(const Call *call);
void dense_backward(const Call *call);
void dense_release(Call *call);

#endif
