/* Linear layer: cuBLASLt with bias and ReLU in its epilogue; backward the two products and the sum
 * over rows for the bias, or for few channels over very many rows all three in one walk (narrow.h).
 * Bound by arithmetic for wide layers, else by memory. */
#include "kernels/cuda/dense.h"

extern "C" {
#include "kernels/mode.h"
}

static bool prepare(Call *call, Error *error) {
  bool relu = static_cast<const LinearOptions *>(call->options)->activation == ACT_RELU;
  return dense_prepare(call, relu, kernel_mode.tf32 == TF32_ON, error);
}

CUDA_KERNEL(linear) = {.forward = dense_forward,
                       .backward = dense_backward,
                       .prepare = prepare,
                       .release = dense_release,
                       .bf16 = SAVES_IN(2) | SAVES_OUT(0),
                       .adds = SAVES_IN(0) | SAVES_IN(1) | SAVES_IN(2)};
