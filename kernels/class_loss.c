/* Weighted mean cross-entropy of the queries' classes:
 *   loss = sum_i w_i (log sum_c e^{x_ic} - x_{i,target_i}) / sum_i w_i over all N K queries i;
 * target = assignment, w = 1; a negative assignment: the last column, w = none_weight. */
#include "kernels/options.h"

#include <math.h>
#include <string.h>

static const Option options[] = {{"none_weight", OPTION_FLOAT,
                                  offsetof(ClassLossOptions, none_weight), .1, 0, 1e6, NULL, NULL,
                                  "weight of queries without an object"},
                                 {0}};

enum { IN_LOGITS, IN_ASSIGNMENT };

static bool shape(Call *call, Error *error) {
  const Tensor *x = &call->in[IN_LOGITS], *assignment = &call->in[IN_ASSIGNMENT];
  if (x->rank != 3 || x->dim[2] < 2)
    return fail(error, "class_loss: class logits have 3 axes (N, K, classes + 1), found %s",
                tensor_shape_text(x));
  if (assignment->type != I32 || assignment->rank != 2 ||
      memcmp(assignment->dim, x->dim, 2 * sizeof x->dim[0]) != 0)
    return fail(error, "class_loss: integer assignment (N, K) expected for logits %s, found %s",
                tensor_shape_text(x), tensor_shape_text(assignment));
  call->out[0] = tensor_make(x->type, 0, NULL);
  return true;
}

/* Target column of query i, and its weight. */
static int64_t target(const Call *call, int64_t i, double *weight) {
  const ClassLossOptions *o = call->options;
  int32_t assigned = ((const int32_t *)call->in[IN_ASSIGNMENT].data)[i];
  *weight = assigned < 0 ? o->none_weight : 1;
  return assigned < 0 ? tensor_last(&call->in[IN_LOGITS]) - 1 : assigned;
}

static double weight_sum(const Call *call) {
  double sum = 0, weight;
  for (int64_t i = 0; i < tensor_count(&call->in[IN_ASSIGNMENT]); i++) {
    target(call, i, &weight);
    sum += weight;
  }
  return sum > 0 ? sum : 1;
}

static double log_sum_exp(const REAL *x, int64_t columns) {
  double top = x[0], sum = 0;
  for (int64_t c = 1; c < columns; c++) top = x[c] > top ? x[c] : top;
  for (int64_t c = 0; c < columns; c++) sum += exp(x[c] - top);
  return top + log(sum);
}

static void forward(const Call *call) {
  const REAL *x = call->in[IN_LOGITS].data;
  int64_t columns = tensor_last(&call->in[IN_LOGITS]);
  double loss = 0, weight;
  for (int64_t i = 0; i < tensor_rows(&call->in[IN_LOGITS]); i++, x += columns) {
    int64_t c = target(call, i, &weight);
    loss += weight * (log_sum_exp(x, columns) - x[c]);
  }
  *(REAL *)call->out[0].data = (REAL)(loss / weight_sum(call));
}

static void backward(const Call *call) {
  const REAL *x = call->in[IN_LOGITS].data;
  REAL *dx = call->din[IN_LOGITS].data;
  int64_t columns = tensor_last(&call->in[IN_LOGITS]);
  double scale = *(const REAL *)call->dout[0].data / weight_sum(call), weight;
  if (!dx) return;
  for (int64_t i = 0; i < tensor_rows(&call->in[IN_LOGITS]); i++, x += columns, dx += columns) {
    int64_t c = target(call, i, &weight);
    double log_sum = log_sum_exp(x, columns);
    for (int64_t k = 0; k < columns; k++)
      dx[k] = (REAL)(scale * weight * (exp(x[k] - log_sum) - (k == c)));
  }
}

const Op OP_ROW(class_loss) = {
    .name = "class_loss",
    .doc = "weighted mean cross-entropy of the queries' classes",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .saves = {[IN_LOGITS] = SAVES_IN(IN_LOGITS) | SAVES_IN(IN_ASSIGNMENT)},
    .constant = SAVES_IN(IN_ASSIGNMENT),
    .options = options,
    .options_bytes = sizeof(ClassLossOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
