/* One GEMM per sample; the library spreads each over the threads. */
#include "kernels/cpu/sgemm.h"
#include "kernels/cpu/staging.h"
#include "kernels/options.h"

enum { IN_A, IN_B };

typedef struct Sizes {
  int64_t samples, rows, channels, outs; /* rows: of one sample */
  int64_t b_step;
  bool transpose; /* b is (outs, channels) */
} Sizes;

static Sizes sizes_of(const Call *call) {
  const Tensor *a = &call->in[IN_A], *b = &call->in[IN_B];
  return (Sizes){.samples = matmul_samples(a),
                 .rows = tensor_rows(a) / matmul_samples(a),
                 .channels = tensor_last(a),
                 .outs = tensor_last(&call->out[0]),
                 .b_step = tensor_last(b),
                 .transpose = ((const MatmulOptions *)call->options)->transpose};
}

static void forward_float(const Call *call) {
  Sizes s = sizes_of(call);
  for (int64_t n = 0; n < s.samples; n++) {
    const float *a = (const float *)call->in[IN_A].data + n * s.rows * s.channels;
    const float *b = (const float *)call->in[IN_B].data + n * s.channels * s.outs;
    float *y = (float *)call->out[0].data + n * s.rows * s.outs;
    gemm(s.rows, s.outs, s.channels, 1, (Matrix){a, s.channels, false},
         (Matrix){b, s.b_step, s.transpose}, 0, y, s.outs);
  }
}

static void backward_float(const Call *call) {
  Sizes s = sizes_of(call);
  float *da = call->din[IN_A].data, *db = call->din[IN_B].data;
  for (int64_t n = 0; n < s.samples; n++) {
    const float *dy = (const float *)call->dout[0].data + n * s.rows * s.outs;
    if (da) {
      const float *b = (const float *)call->in[IN_B].data + n * s.channels * s.outs;
      gemm(s.rows, s.channels, s.outs, 1, (Matrix){dy, s.outs, false},
           (Matrix){b, s.b_step, !s.transpose}, 0, da + n * s.rows * s.channels, s.channels);
    }
    if (!db) continue;
    const float *a = (const float *)call->in[IN_A].data + n * s.rows * s.channels;
    float *to = db + n * s.channels * s.outs;
    if (s.transpose)
      gemm(s.outs, s.channels, s.rows, 1, (Matrix){dy, s.outs, true},
           (Matrix){a, s.channels, false}, 0, to, s.b_step);
    else
      gemm(s.channels, s.outs, s.rows, 1, (Matrix){a, s.channels, true},
           (Matrix){dy, s.outs, false}, 0, to, s.b_step);
  }
}

static void forward(const Call *call) {
  staging_run(call, forward_float);
}

static void backward(const Call *call) {
  staging_run(call, backward_float);
}

const Kernel matmul_cpu = {
    .forward = forward, .backward = backward, .prepare = staging_prepare, .bf16 = SAVES_IN(IN_A)};
