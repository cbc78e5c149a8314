/* Fast activation: flat loops over chunks of the tensor; relu is bound by memory. */
#include "kernels/options.h"
#include "kernels/simd_math.h"

enum { CHUNK = 1 << 13 };

/* In place, y is x. */
static void chunk_forward(int kind, const float *x, float *y, int64_t count) {
  if (kind == ACT_RELU) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = x[i] > 0 ? x[i] : 0;
  } else if (kind == ACT_GELU) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = simd_gelu(x[i]);
  } else if (kind == ACT_SIGMOID) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = simd_sigmoid(x[i]);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = x[i];
  }
}

/* In place, dx is dy. */
static void chunk_backward(int kind, const float *x, const float *dy, float *dx, int64_t count) {
  if (kind == ACT_RELU) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) dx[i] = x[i] > 0 ? dy[i] : 0;
  } else if (kind == ACT_GELU) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) dx[i] = dy[i] * simd_gelu_slope(x[i]);
  } else if (kind == ACT_SIGMOID) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
      float e = simd_exp(-fabsf(x[i])), r = 1.f / (1.f + e);
      dx[i] = dy[i] * (e * r * r);
    }
  } else {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) dx[i] = dy[i];
  }
}

static void forward(const Call *call) {
  int kind = ((const ActivationOptions *)call->options)->kind;
  const float *x = call->in[0].data;
  float *y = call->out[0].data;
  int64_t count = tensor_count(&call->in[0]);
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; i += CHUNK)
    chunk_forward(kind, x + i, y + i, count - i < CHUNK ? count - i : CHUNK);
}

static void backward(const Call *call) {
  int kind = ((const ActivationOptions *)call->options)->kind;
  const float *x = call->in[0].data, *dy = call->dout[0].data;
  float *dx = call->din[0].data;
  int64_t count = tensor_count(&call->in[0]);
  if (!dx) return;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; i += CHUNK)
    chunk_backward(kind, x + i, dy + i, dx + i, count - i < CHUNK ? count - i : CHUNK);
}

const Kernel activation_cpu = {.forward = forward, .backward = backward};
