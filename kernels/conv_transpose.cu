/* Transposed convolution whose kernel is its stride: cuDNN's gradient of the convolution that leads
 * from y (Cout channels) to x (Cin channels) and has our weights (Cin, stride.., Cout) as its
 * filter. So forward computes that convolution's input, and backward runs it forward. */
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/convolution.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/scratch_blocks.h"

#include <new>

enum { IN_W, IN_B, IN_X };

namespace {
struct Transpose {
  DType type; /* in which it is computed */
  bool apart; /* the input's gradient is computed in the scratch */
  const Convolution *forward, *input, *weight;
  size_t x, w, bias, y, sums, workspace;
};
} // namespace

static const Transpose *transpose_of(const Call *call) {
  return static_cast<const Transpose *>(call->state);
}

static char *scratch_at(const Call *call, size_t offset) {
  return static_cast<char *>(call->scratch) + offset;
}

/* ---- preparing ------------------------------------------------------------------------------- */

static DType computed_in(const Call *call) {
  const Tensor *w = &call->in[IN_W];
  bool half = call->in[IN_X].type == BF16 || call->out[0].type == BF16;
  return half && w->dim[0] % 8 == 0 && w->dim[4] % 8 == 0 ? BF16 : F32;
}

static ConvolutionShape shape_of(const Call *call, DType type) {
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X], *y = &call->out[0];
  ConvolutionShape s = {};
  s.type = type;
  s.batch = x->dim[0];
  s.channels = w->dim[4];
  s.outs = w->dim[0];
  for (int a = 0; a < 3; a++) {
    s.in[a] = y->dim[1 + a];
    s.out[a] = x->dim[1 + a];
    s.kernel[a] = s.stride[a] = w->dim[1 + a];
  }
  return s;
}

static bool choose(const Call *call, Transpose *t, Error *error) {
  ConvolutionShape s = shape_of(call, t->type);
  bool biased = !tensor_absent(&call->in[IN_B]);
  if (!call->backward)
    return (t->forward = convolution_make(&s, CONVOLUTION_X, biased, error)) != NULL;
  if (wants_of(call, IN_W) && !(t->weight = convolution_make(&s, CONVOLUTION_W, false, error)))
    return false;
  if (!wants_of(call, IN_X)) return true;
  s.adds = adds_to(call, IN_X) && call->in[IN_X].type == t->type;
  t->input = convolution_make(&s, CONVOLUTION_Y, false, error);
  t->apart = !t->input && s.adds; /* no engine adds: into the scratch, and from there */
  s.adds = false;
  if (t->apart) t->input = convolution_make(&s, CONVOLUTION_Y, false, error);
  return t->input != NULL;
}

static void release(Call *call) {
  delete static_cast<Transpose *>(call->state);
  call->state = NULL;
}

static bool prepare(Call *call, Error *error) {
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X], *y = &call->out[0];
  Transpose *t = new (std::nothrow) Transpose();
  CHECK(t, "no memory for a transposed convolution");
  t->type = computed_in(call);
  call->state = t;
  call->scratch_bytes = 0;
  if (!choose(call, t, error)) {
    release(call);
    return false;
  }
  const Convolution *all[] = {t->forward, t->input, t->weight};
  size_t *total = &call->scratch_bytes, unit = dtype_bytes(t->type), most = 0;
  if (x->type != t->type || t->apart) t->x = scratch_add(total, (size_t)tensor_count(x) * unit);
  if (w->type != t->type) t->w = scratch_add(total, (size_t)tensor_count(w) * unit);
  if (y->type != t->type) t->y = scratch_add(total, (size_t)tensor_count(y) * unit);
  if (!call->backward && t->type == BF16)
    t->bias = scratch_add(total, (size_t)tensor_count(&call->in[IN_B]) * unit);
  if (call->backward) t->sums = scratch_add(total, column_sums_scratch(w->dim[4], 1));
  for (int i = 0; i < 3; i++)
    if (all[i] && convolution_workspace(all[i]) > most) most = convolution_workspace(all[i]);
  t->workspace = scratch_add(total, most);
  return true;
}

/* ---- running --------------------------------------------------------------------------------- */

/* Where a result is computed: in its place, or in the scratch and cast by `settle`. */
static void *result(const Call *call, const Tensor *tensor, size_t offset) {
  return tensor->type == transpose_of(call)->type ? tensor->data : scratch_at(call, offset);
}

static void settle(const Call *call, const Tensor *tensor, const void *from, bool adds = false) {
  DType type = transpose_of(call)->type;
  if (from != tensor->data)
    cast(call->stream, tensor_count(tensor), type, from, tensor->type, tensor->data, adds);
}

static void forward(const Call *call) {
  const Transpose *t = transpose_of(call);
  void *y = result(call, &call->out[0], t->y);
  const void *x = operand_as(call, &call->in[IN_X], t->type, t->x);
  const void *w = operand_as(call, &call->in[IN_W], t->type, t->w);
  const void *bias = optional_as(call, IN_B, t->type, t->bias);
  convolution_run(t->forward, call->stream, y, w, x, bias, scratch_at(call, t->workspace));
  settle(call, &call->out[0], y);
}

static void backward(const Call *call) {
  const Transpose *t = transpose_of(call);
  const Tensor *dw = &call->din[IN_W], *dx = &call->din[IN_X];
  const void *dy = operand_as(call, &call->dout[0], t->type, t->y);
  bias_gradient(call->stream, t->type, tensor_rows(&call->dout[0]), tensor_last(&call->dout[0]), dy,
                scratch_at(call, t->sums), data_of<float>(&call->din[IN_B]));
  if (dx->data) {
    void *to = t->apart ? scratch_at(call, t->x) : result(call, dx, t->x);
    const void *w = operand_as(call, &call->in[IN_W], t->type, t->w);
    convolution_run(t->input, call->stream, dy, w, to, NULL, scratch_at(call, t->workspace));
    settle(call, dx, to, adds_to(call, IN_X));
  }
  if (!dw->data) return; /* after the input's gradient: the scratch of x and w is used again */
  void *to = result(call, dw, t->w);
  const void *x = operand_as(call, &call->in[IN_X], t->type, t->x);
  convolution_run(t->weight, call->stream, dy, to, x, NULL, scratch_at(call, t->workspace));
  settle(call, dw, to);
}

CUDA_KERNEL(conv_transpose) = {.forward = forward,
                               .backward = backward,
                               .prepare = prepare,
                               .release = release,
                               .bf16 = SAVES_IN(IN_X) | SAVES_OUT(0),
                               .adds = SAVES_IN(IN_X)};
