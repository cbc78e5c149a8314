/* Two axes of x change places: with axes 1,2 y[a,c,b,...] = x[a,b,c,...]. Tokens become channels,
 * (N, T, E) to (N, E, T); an axis of a map becomes the last for a layer along it. x: rank 2 to 5,
 * of any type; groups of axes: reshape first. The gradient is the same swap of dy. Bound by
 * memory. */
#include "kernels/swap.h"

#include <string.h>

static const Option options[] = {{"axes", OPTION_INTS, offsetof(SwapOptions, axes), 0, 0,
                                  MAX_RANK - 1, NULL, "1,2", "the two, counted from 0 (N)"},
                                 {0}};

static bool shape(Call *call, Error *error) {
  const SwapOptions *o = call->options;
  const Tensor *x = &call->in[0];
  if (o->axes.count != 2) return fail(error, "swap: axes has 2 numbers, found %d", o->axes.count);
  int first = o->axes.v[0], second = o->axes.v[1];
  if (first < 0 || second < 0 || first >= x->rank || second >= x->rank || first == second)
    return fail(error, "swap: axes %d and %d are no two of %s, counted from 0", first, second,
                tensor_shape_text(x));
  call->out[0] = tensor_make(x->type, x->rank, x->dim);
  call->out[0].dim[first] = x->dim[second];
  call->out[0].dim[second] = x->dim[first];
  return true;
}

/* Of x, whose axes are s; y has s.first and s.second the other way round. */
static void swapped(const Tensor *x, const Tensor *y, SwapSizes s) {
  size_t bytes = dtype_bytes(x->type) * (size_t)s.inner;
  const char *from = x->data;
  for (int64_t o = 0; o < s.outer; o++)
    for (int64_t b = 0; b < s.first; b++)
      for (int64_t m = 0; m < s.middle; m++)
        for (int64_t c = 0; c < s.second; c++, from += bytes)
          memcpy((char *)y->data +
                     (size_t)(((o * s.second + c) * s.middle + m) * s.first + b) * bytes,
                 from, bytes);
}

static void forward(const Call *call) {
  swapped(&call->in[0], &call->out[0], swap_sizes(call, &call->in[0]));
}

static void backward(const Call *call) {
  if (call->din[0].data) swapped(&call->dout[0], &call->din[0], swap_sizes(call, &call->dout[0]));
}

const Op OP_ROW(swap) = {
    .name = "swap",
    .doc = "two axes change places",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .options = options,
    .options_bytes = sizeof(SwapOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
