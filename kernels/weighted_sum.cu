/* Weighted sum of scalars: one thread, in the order of the inputs. */
#include "kernels/cuda/launch.h"

namespace {
struct Terms {
  int count;
  float weight[MAX_TERMS];
  const float *in[MAX_TERMS];
  float *din[MAX_TERMS]; /* NULL: not wanted */
};
} // namespace

static __global__ void add(Terms terms, float *y) {
  float sum = 0;
  for (int i = 0; i < terms.count; i++) sum += terms.weight[i] * *terms.in[i];
  *y = sum;
}

static __global__ void spread(Terms terms, const float *dy) {
  int i = (int)threadIdx.x;
  if (i < terms.count && terms.din[i]) *terms.din[i] = terms.weight[i] * *dy;
}

static Terms terms_make(const Call *call) {
  const WeightedSumOptions *o = static_cast<const WeightedSumOptions *>(call->options);
  Terms terms = {};
  terms.count = call->n_in;
  for (int i = 0; i < call->n_in; i++) {
    terms.weight[i] = (float)o->weight[i];
    terms.in[i] = data_of<const float>(&call->in[i]);
    terms.din[i] = call->backward ? data_of<float>(&call->din[i]) : NULL;
  }
  return terms;
}

static void forward(const Call *call) {
  LAUNCH(add, 1, 1, 0, call->stream, terms_make(call), data_of<float>(&call->out[0]));
}

static void backward(const Call *call) {
  LAUNCH(spread, 1, 32, 0, call->stream, terms_make(call), data_of<const float>(&call->dout[0]));
}

CUDA_KERNEL(weighted_sum) = {.forward = forward, .backward = backward, .float_only = true};
