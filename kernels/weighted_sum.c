/* y = sum_i weight_i * x_i over scalars: the total loss of its terms. */
#include "kernels/options.h"

#define WEIGHT(i)                                                                                  \
  {                                                                                                \
    "weight" #i, OPTION_FLOAT, offsetof(WeightedSumOptions, weight[i]), 1, -1e9, 1e9, NULL, NULL,  \
        "factor of input " #i                                                                      \
  }
static const Option options[] = {{"count", OPTION_INT, offsetof(WeightedSumOptions, count), 0, 0,
                                  MAX_TERMS, NULL, NULL, "terms; 0: as many as inputs"},
                                 WEIGHT(0),
                                 WEIGHT(1),
                                 WEIGHT(2),
                                 WEIGHT(3),
                                 WEIGHT(4),
                                 WEIGHT(5),
                                 WEIGHT(6),
                                 WEIGHT(7),
                                 WEIGHT(8),
                                 WEIGHT(9),
                                 WEIGHT(10),
                                 WEIGHT(11),
                                 WEIGHT(12),
                                 WEIGHT(13),
                                 WEIGHT(14),
                                 WEIGHT(15),
                                 {0}};

static bool shape(Call *call, Error *error) {
  const WeightedSumOptions *o = call->options;
  if (o->count != 0 && o->count != call->n_in)
    return fail(error, "weighted_sum: %d weights for %d inputs", o->count, call->n_in);
  for (int i = 0; i < call->n_in; i++)
    if (tensor_count(&call->in[i]) != 1 || call->in[i].rank > 1)
      return fail(error, "weighted_sum: input %d is a scalar, found %s", i,
                  tensor_shape_text(&call->in[i]));
  call->out[0] = tensor_make(call->in[0].type, 0, NULL);
  return true;
}

static void forward(const Call *call) {
  const WeightedSumOptions *o = call->options;
  double sum = 0;
  for (int i = 0; i < call->n_in; i++) sum += o->weight[i] * *(const REAL *)call->in[i].data;
  *(REAL *)call->out[0].data = (REAL)sum;
}

static void backward(const Call *call) {
  const WeightedSumOptions *o = call->options;
  double dy = *(const REAL *)call->dout[0].data;
  for (int i = 0; i < call->n_in; i++)
    if (call->din[i].data) *(REAL *)call->din[i].data = (REAL)(o->weight[i] * dy);
}

const Op OP_ROW(weighted_sum) = {
    .name = "weighted_sum",
    .doc = "weighted sum of scalars: the total loss",
    .min_in = 1,
    .max_in = MAX_TERMS,
    .n_out = 1,
    .options = options,
    .options_bytes = sizeof(WeightedSumOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
