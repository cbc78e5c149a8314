/* Fast activation: flat loops over chunks of the tensor; relu is bound by memory. */
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/options.h"

enum { CHUNK = 1 << 10 };

/* In place, y is x. */
static void chunk_forward(const ActivationOptions *o, const float *x, float *y, int64_t count) {
  const int kind = o->kind;
  const float slope = (float)o->slope;
  if (kind == ACT_RELU) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = x[i] > 0 ? x[i] : 0;
  } else if (kind == ACT_GELU) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = simd_gelu(x[i]);
  } else if (kind == ACT_SIGMOID) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = simd_sigmoid(x[i]);
  } else if (kind == ACT_LEAKY_RELU) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = x[i] > 0 ? x[i] : slope * x[i];
  } else if (kind == ACT_SILU) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = simd_silu(x[i]);
  } else if (kind == ACT_STEP) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = x[i] > 0 ? 1.f : 0.f;
  } else {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = x[i];
  }
}

/* In place, dx is dy. */
static void chunk_backward(const ActivationOptions *o, const float *x, const float *dy, float *dx,
                           int64_t count) {
  const int kind = o->kind;
  const float slope = (float)o->slope;
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
  } else if (kind == ACT_LEAKY_RELU) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) dx[i] = x[i] > 0 ? dy[i] : slope * dy[i];
  } else if (kind == ACT_SILU) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) dx[i] = dy[i] * simd_silu_slope(x[i]);
  } else if (kind == ACT_STEP) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) dx[i] = 0;
  } else {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) dx[i] = dy[i];
  }
}

/* A chunk in float: where it lies, or a copy of it. */
static const float *chunk_read(const Tensor *tensor, int64_t i, int64_t count, float *copy) {
  if (tensor->type == F32) return (const float *)tensor->data + i;
  bf16_to_floats(copy, (const Bf16 *)tensor->data + i, count);
  return copy;
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[0], *y = &call->out[0];
  int64_t total = tensor_count(x);
#pragma omp parallel for schedule(static) if (total > PARALLEL_LEAST)
  for (int64_t i = 0; i < total; i += CHUNK) {
    float in[CHUNK], out[CHUNK];
    int64_t count = total - i < CHUNK ? total - i : CHUNK;
    float *to = y->type == F32 ? (float *)y->data + i : out;
    chunk_forward(call->options, chunk_read(x, i, count, in), to, count);
    if (y->type == BF16) bf16_from_floats((Bf16 *)y->data + i, out, count);
  }
}

static void backward(const Call *call) {
  const Tensor *x = &call->in[0], *dy = &call->dout[0], *dx = &call->din[0];
  int64_t total = tensor_count(x);
  if (!dx->data) return;
#pragma omp parallel for schedule(static) if (total > PARALLEL_LEAST)
  for (int64_t i = 0; i < total; i += CHUNK) {
    float in[CHUNK], gradient[CHUNK], out[CHUNK];
    int64_t count = total - i < CHUNK ? total - i : CHUNK;
    float *to = dx->type == F32 ? (float *)dx->data + i : out;
    chunk_backward(call->options, chunk_read(x, i, count, in), chunk_read(dy, i, count, gradient),
                   to, count);
    if (dx->type == BF16) bf16_from_floats((Bf16 *)dx->data + i, out, count);
  }
}

const Kernel activation_cpu = {.forward = forward,
                               .backward = backward,
                               .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                               .bf16_together = true};
