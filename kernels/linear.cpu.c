/* Products by tiles of rows, bias and ReLU in registers. Bound by FLOP from about 64 channels on,
 * by memory below. */
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/row_tiles.h"
#include "kernels/options.h"

enum { IN_W, IN_B, IN_X };

static bool has_relu(const Call *call) {
  return ((const LinearOptions *)call->options)->activation == ACT_RELU;
}

static void to_bf16(const Call *call, int64_t first, int64_t count, float *tile) {
  int64_t outs = call->in[IN_W].dim[0];
  bf16_from_floats((Bf16 *)call->out[0].data + first * outs, tile, count * outs);
}

static const float *through_relu(const Call *call, int64_t first, int64_t count, float *tile) {
  int64_t outs = call->in[IN_W].dim[0];
  const float *dy = (const float *)call->dout[0].data + first * outs;
  if (call->dout[0].type == BF16) {
    bf16_to_floats(tile, (const Bf16 *)call->dout[0].data + first * outs, count * outs);
    const Bf16 *y = has_relu(call) ? (const Bf16 *)call->out[0].data + first * outs : NULL;
    for (int64_t i = 0; y && i < count * outs; i++) tile[i] = bf16_float(y[i]) > 0 ? tile[i] : 0;
    return tile;
  }
  if (!has_relu(call)) return dy;
  const float *y = (const float *)call->out[0].data + first * outs;
  for (int64_t i = 0; i < count * outs; i++) tile[i] = y[i] > 0 ? dy[i] : 0;
  return tile;
}

static Dense dense_of(const Call *call) {
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X];
  bool direct = call->out[0].type == F32;
  return (Dense){.call = call,
                 .rows = tensor_rows(x),
                 .ins = w->dim[1],
                 .outs = w->dim[0],
                 .w = w->data,
                 .x = x->data,
                 .x_type = x->type,
                 .b = input_data(call, IN_B),
                 .relu = has_relu(call),
                 .y = call->out[0].data,
                 .finish = direct ? NULL : to_bf16,
                 .gather = through_relu,
                 .dx = call->din[IN_X].data,
                 .dw = call->din[IN_W].data};
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  Dense dense = dense_of(call);
  call->scratch_bytes = dense_scratch(&dense, call->backward);
  return true;
}

static void forward(const Call *call) {
  Dense dense = dense_of(call);
  dense_forward(&dense);
}

static void backward(const Call *call) {
  Dense dense = dense_of(call);
  const double *sums = dense_backward(&dense);
  float *db = call->din[IN_B].data;
  for (int64_t o = 0; db && o < dense.outs; o++) db[o] = (float)sums[o];
}

const Kernel linear_cpu = {.forward = forward,
                           .backward = backward,
                           .prepare = prepare,
                           .bf16 = SAVES_IN(IN_X) | SAVES_OUT(0)};
