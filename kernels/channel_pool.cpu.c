/* Fast channel_pool: a row is read once for both, its gradient once more. Bound by memory. */
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/staging.h"
#include "kernels/op.h"

enum { OUT_MEAN, OUT_MAX, POOLED };

static void row_pool(const float *x, int64_t channels, float *y) {
  Vec sum = {0}, most = vec_splat(x[0]);
  int64_t c = 0;
  for (; c + VEC <= channels; c += VEC) {
    Vec v = vec_load(x + c);
    sum += v;
    most = vec_max(v, most);
  }
  float total = vec_total(sum), largest = vec_largest(most);
  for (; c < channels; c++) {
    total += x[c];
    largest = x[c] > largest ? x[c] : largest;
  }
  y[OUT_MEAN] = total / (float)channels;
  y[OUT_MAX] = largest;
}

static void row_gradient(const float *x, const float *dy, int64_t channels, float *dx) {
  float mean = dy[OUT_MEAN] / (float)channels, pooled[POOLED];
  row_pool(x, channels, pooled);
  for (int64_t c = 0; c < channels; c++) dx[c] = mean;
  for (int64_t c = 0; c < channels; c++)
    if (x[c] == pooled[OUT_MAX]) {
      dx[c] += dy[OUT_MAX];
      return;
    }
}

static void forward_float(const Call *call) {
  int64_t rows = tensor_rows(&call->in[0]), channels = tensor_last(&call->in[0]);
#pragma omp parallel for schedule(static) if (rows * channels > PARALLEL_LEAST)
  for (int64_t row = 0; row < rows; row++)
    row_pool((const float *)call->in[0].data + row * channels, channels,
             (float *)call->out[0].data + row * POOLED);
}

static void backward_float(const Call *call) {
  int64_t rows = tensor_rows(&call->in[0]), channels = tensor_last(&call->in[0]);
#pragma omp parallel for schedule(static) if (rows * channels > PARALLEL_LEAST)
  for (int64_t row = 0; row < rows; row++)
    row_gradient((const float *)call->in[0].data + row * channels,
                 (const float *)call->dout[0].data + row * POOLED, channels,
                 (float *)call->din[0].data + row * channels);
}

static void forward(const Call *call) {
  staging_run(call, forward_float);
}

static void backward(const Call *call) {
  if (call->din[0].data) staging_run(call, backward_float);
}

const Kernel channel_pool_cpu = {.forward = forward,
                                 .backward = backward,
                                 .prepare = staging_prepare,
                                 .bf16 = SAVES_IN(0) | SAVES_OUT(0)};
