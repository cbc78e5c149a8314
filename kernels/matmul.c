/* One matrix product per sample: a (N, ..., C) by b (N, K, C) gives (N, ..., K), y = a b^T; with
 * transpose = 0 b is (N, C, K) and y = a b. Masks are features by mask embeddings, class maps are
 * masks by class probabilities. Cost 2 N T C K FLOP. */
#include "kernels/options.h"

#include <string.h>

static const Option options[] = {{"transpose", OPTION_BOOL, offsetof(MatmulOptions, transpose), 1,
                                  0, 1, NULL, NULL, "b is (N, K, C); otherwise (N, C, K)"},
                                 {0}};

enum { IN_A, IN_B };

static bool shape(Call *call, Error *error) {
  const MatmulOptions *o = call->options;
  const Tensor *a = &call->in[IN_A], *b = &call->in[IN_B];
  if (!(a->rank >= 3 && b->rank == 3) && !(a->rank == 2 && b->rank == 2))
    return fail(error, "matmul: a is (N, ..., C) and b %s, or both are matrices, found %s and %s",
                o->transpose ? "(N, K, C)" : "(N, C, K)", tensor_shape_text(a),
                tensor_shape_text(b));
  if (b->rank == 3 && a->dim[0] != b->dim[0])
    return fail(error, "matmul: a and b have as many samples, found %s and %s",
                tensor_shape_text(a), tensor_shape_text(b));
  if (b->dim[b->rank - (o->transpose ? 1 : 2)] != tensor_last(a))
    return fail(error, "matmul: b is %s with C = %lld, found a %s and b %s",
                o->transpose ? "(N, K, C)" : "(N, C, K)", (long long)tensor_last(a),
                tensor_shape_text(a), tensor_shape_text(b));
  call->out[0] = tensor_make(a->type, a->rank, a->dim);
  call->out[0].dim[a->rank - 1] = b->dim[b->rank - (o->transpose ? 2 : 1)];
  return true;
}

static void cost(const Call *call, Cost *cost) {
  double forward = 2.0 * (double)tensor_count(&call->in[IN_A]) * (double)tensor_last(&call->out[0]);
  cost->flops = call->backward ? 2 * forward : forward;
}

static int64_t terms(const Call *call, int gradient) {
  const Tensor *a = &call->in[IN_A];
  if (gradient < 0) return tensor_last(a);
  return gradient == IN_A ? tensor_last(&call->out[0]) : tensor_rows(a) / matmul_samples(a);
}

static void forward(const Call *call) {
  bool transpose = ((const MatmulOptions *)call->options)->transpose;
  const REAL *a = call->in[IN_A].data;
  REAL *y = call->out[0].data;
  int64_t samples = matmul_samples(&call->in[IN_A]), rows = tensor_rows(&call->in[IN_A]);
  int64_t channels = tensor_last(&call->in[IN_A]), outs = tensor_last(&call->out[0]);
  for (int64_t row = 0; row < rows; row++) {
    const REAL *b = (const REAL *)call->in[IN_B].data + row / (rows / samples) * channels * outs;
    for (int64_t o = 0; o < outs; o++) {
      double sum = 0;
      for (int64_t c = 0; c < channels; c++)
        sum += (double)a[row * channels + c] * b[transpose ? o * channels + c : c * outs + o];
      y[row * outs + o] = (REAL)sum;
    }
  }
}

static void backward(const Call *call) {
  bool transpose = ((const MatmulOptions *)call->options)->transpose;
  const REAL *a = call->in[IN_A].data, *b = call->in[IN_B].data, *dy = call->dout[0].data;
  REAL *da = call->din[IN_A].data, *db = call->din[IN_B].data;
  int64_t samples = matmul_samples(&call->in[IN_A]), rows = tensor_rows(&call->in[IN_A]);
  int64_t channels = tensor_last(&call->in[IN_A]), outs = tensor_last(&call->out[0]);
  for (int i = 0; i < call->n_in; i++)
    if (call->din[i].data) memset(call->din[i].data, 0, tensor_bytes(&call->din[i]));
  for (int64_t row = 0; row < rows; row++) {
    int64_t first = row / (rows / samples) * channels * outs;
    for (int64_t o = 0; o < outs; o++)
      for (int64_t c = 0; c < channels; c++) {
        int64_t at = first + (transpose ? o * channels + c : c * outs + o);
        if (da) da[row * channels + c] += dy[row * outs + o] * b[at];
        if (db) db[at] += dy[row * outs + o] * a[row * channels + c];
      }
  }
}

const Op OP_ROW(matmul) = {
    .name = "matmul",
    .doc = "matrix product per sample (masks from features and mask embeddings)",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .saves = {[IN_A] = SAVES_IN(IN_B), [IN_B] = SAVES_IN(IN_A)},
    .options = options,
    .options_bytes = sizeof(MatmulOptions),
    .shape = shape,
    .cost = cost,
    .terms = terms,
    .reference = {.forward = forward, .backward = backward},
};
