/* 3D convolution by cuDNN; of one voxel (1x1x1) by cuBLASLt; of an image, which has few channels,
 * by kernels of ours (image_conv.h). In BF16 channels are padded with zeros to a multiple of 8,
 * which its tensor-core engines want; F32 weights are read from the copy that the optimiser keeps
 * in BF16 or cast at every call, their gradients cast back. Parts are joined in the scratch. */
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/convolution.h"
#include "kernels/cuda/dense.h"
#include "kernels/cuda/image_conv.h"
#include "kernels/cuda/pair.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/scratch_blocks.h"

#include <new>

extern "C" {
#include "kernels/mode.h"
}

enum { IN_W, IN_B, IN_X };

namespace {
struct Conv {
  DType type; /* in which it is computed */
  int64_t channels, padded, outs, taps;
  bool whole_x, whole_w; /* the operand is used as it is */
  bool whole_dx;         /* the gradient is computed in its place */
  bool image;            /* by image_conv.h: no engine, no copy of x, w or y */
  const Convolution *forward, *input, *weight;
  size_t x, w, bias, y, sums, workspace;
};
} // namespace

static const Conv *conv_of(const Call *call) {
  return static_cast<const Conv *>(call->state);
}

static char *scratch_at(const Call *call, size_t offset) {
  return static_cast<char *>(call->scratch) + offset;
}

static bool is_dense(const Call *call) {
  const Tensor *w = &call->in[IN_W];
  const int *stride = static_cast<const ConvOptions *>(call->options)->stride.v;
  bool one = w->dim[1] * w->dim[2] * w->dim[3] == 1;
  return call->n_in == IN_X + 1 && one && stride[0] * stride[1] * stride[2] == 1;
}

static bool has_bias(const Call *call) {
  return !tensor_absent(&call->in[IN_B]);
}

static bool wants_input(const Call *call) {
  return call->wants >> IN_X;
}

/* ---- preparing ------------------------------------------------------------------------------- */

/* BF16 wherever a part or y is stored so, if the outputs fit its engines. */
static DType computed_in(const Call *call) {
  bool half = call->out[0].type == BF16;
  for (int i = IN_X; i < call->n_in; i++) half = half || call->in[i].type == BF16;
  return half && call->in[IN_W].dim[0] % 8 == 0 ? BF16 : F32;
}

static ConvolutionShape shape_of(const Call *call, const Conv *c) {
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X], *y = &call->out[0];
  ConvolutionShape s = {};
  s.type = c->type;
  s.batch = x->dim[0];
  s.channels = c->padded;
  s.outs = c->outs;
  for (int a = 0; a < 3; a++) {
    s.in[a] = x->dim[1 + a];
    s.out[a] = y->dim[1 + a];
    s.kernel[a] = w->dim[1 + a];
    s.padding[a] = (w->dim[1 + a] - 1) / 2;
    s.stride[a] = static_cast<const ConvOptions *>(call->options)->stride.v[a];
  }
  return s;
}

static bool choose(const Call *call, Conv *c, Error *error) {
  ConvolutionShape s = shape_of(call, c);
  if (!call->backward)
    return (c->forward = convolution_make(&s, CONVOLUTION_Y, has_bias(call), error)) != NULL;
  if (wants_of(call, IN_W) && !(c->weight = convolution_make(&s, CONVOLUTION_W, false, error)))
    return false;
  if (!wants_input(call)) return true;
  s.adds = c->whole_x && adds_to(call, IN_X);
  c->input = convolution_make(&s, CONVOLUTION_X, false, error);
  c->whole_dx = c->whole_x && c->input;
  if (c->input || !s.adds) return c->input != NULL;
  s.adds = false; /* no engine adds: into the scratch, and from there */
  return (c->input = convolution_make(&s, CONVOLUTION_X, false, error)) != NULL;
}

static void make_room(Call *call, Conv *c) {
  const Convolution *all[] = {c->forward, c->input, c->weight};
  size_t *total = &call->scratch_bytes, unit = dtype_bytes(c->type), most = 0;
  if (call->backward) c->sums = scratch_add(total, column_sums_scratch(c->outs, 1));
  if (c->image) {
    if (call->backward) c->workspace = scratch_add(total, image_conv_scratch(call));
    return;
  }
  size_t rows = (size_t)tensor_rows(&call->in[IN_X]);
  if (!c->whole_x || (c->input && !c->whole_dx))
    c->x = scratch_add(total, rows * (size_t)c->padded * unit);
  if (!c->whole_w) c->w = scratch_add(total, (size_t)(c->outs * c->taps * c->padded) * unit);
  if (call->out[0].type != c->type)
    c->y = scratch_add(total, (size_t)tensor_count(&call->out[0]) * unit);
  if (!call->backward && c->type == BF16 && has_bias(call))
    c->bias = scratch_add(total, (size_t)c->outs * unit);
  for (int i = 0; i < 3; i++)
    if (all[i] && convolution_workspace(all[i]) > most) most = convolution_workspace(all[i]);
  c->workspace = scratch_add(total, most);
}

static void release(Call *call) {
  if (is_dense(call)) {
    dense_release(call);
    return;
  }
  delete static_cast<Conv *>(call->state);
  call->state = NULL;
}

static bool prepare(Call *call, Error *error) {
  if (is_dense(call)) return dense_prepare(call, false, kernel_mode.tf32 != TF32_OFF, error);
  const Tensor *w = &call->in[IN_W];
  Conv *c = new (std::nothrow) Conv();
  CHECK(c, "no memory for a convolution");
  c->type = computed_in(call);
  c->outs = w->dim[0];
  c->taps = w->dim[1] * w->dim[2] * w->dim[3];
  c->channels = w->dim[4];
  c->padded = c->type == BF16 ? (c->channels + 7) / 8 * 8 : c->channels;
  bool whole = c->padded == c->channels;
  c->whole_x = whole && call->n_in == IN_X + 1 && call->in[IN_X].type == c->type;
  c->whole_w = whole && c->type == F32;
  call->state = c;
  call->scratch_bytes = 0;
  c->image = image_conv_takes(call) && !(call->backward && wants_input(call));
  if (!c->image && !choose(call, c, error)) {
    release(call);
    return false;
  }
  make_room(call, c);
  return true;
}

/* ---- operands -------------------------------------------------------------------------------- */

/* Two parts of the type in which it is computed, in one launch. False: these are not. */
template <typename T> static bool move_pair(const Call *call, const Tensor *parts, bool join) {
  const Conv *c = conv_of(call);
  if (call->n_in != IN_X + 2 || c->padded != c->channels) return false;
  Pair<T> pair = {};
  for (int i = 0; i < 2; i++) {
    if (call->in[IN_X + i].type != c->type) return false;
    pair.data[i] = data_of<T>(&parts[IN_X + i]);
    pair.width[i] = (int)tensor_last(&call->in[IN_X + i]);
    pair.adds[i] = adds_to(call, IN_X + i);
  }
  T *whole = reinterpret_cast<T *>(scratch_at(call, c->x));
  int64_t rows = tensor_rows(&call->in[IN_X]);
  if (!pair_fits(pair, whole)) return false;
  if (join)
    pair_run<T, true>(call->stream, rows, pair, whole);
  else
    pair_run<T, false>(call->stream, rows, pair, whole);
  return true;
}

/* Between the parts and the joined, padded x of the scratch. */
static void move_parts(const Call *call, const Tensor *parts, bool join) {
  const Conv *c = conv_of(call);
  if (c->type == BF16 ? move_pair<bf16>(call, parts, join) : move_pair<float>(call, parts, join))
    return;
  int64_t first = 0, rows = tensor_rows(&call->in[IN_X]);
  for (int i = IN_X; i < call->n_in; i++) {
    int64_t width = tensor_last(&call->in[i]);
    int64_t padded = i + 1 == call->n_in ? c->padded - first : width;
    Rows part = {parts[i].type, width, parts[i].data};
    Rows all = {c->type, c->padded, scratch_at(call, c->x) + (size_t)first * dtype_bytes(c->type)};
    if (join) rows_copy(call->stream, rows, width, padded, part, all);
    if (!join && parts[i].data) rows_add(call->stream, rows, width, all, part, adds_to(call, i));
    first += width;
  }
}

static const void *joined(const Call *call) {
  const Conv *c = conv_of(call);
  if (c->whole_x) return call->in[IN_X].data;
  move_parts(call, call->in, true);
  return scratch_at(call, c->x);
}

static const void *weights(const Call *call) {
  const Conv *c = conv_of(call);
  if (c->whole_w) return call->in[IN_W].data;
  const void *kept =
      c->type == BF16 && c->padded == c->channels ? half_weights_at(call->in[IN_W].data) : NULL;
  if (kept) return kept;
  rows_copy(call->stream, c->outs * c->taps, c->channels, c->padded,
            Rows{F32, c->channels, call->in[IN_W].data},
            Rows{c->type, c->padded, scratch_at(call, c->w)});
  return scratch_at(call, c->w);
}

/* ---- running --------------------------------------------------------------------------------- */

static void forward(const Call *call) {
  if (is_dense(call)) {
    dense_forward(call);
    return;
  }
  const Conv *c = conv_of(call);
  if (c->image) {
    image_conv_forward(call);
    return;
  }
  const Tensor *y = &call->out[0];
  bool whole = y->type == c->type;
  void *to = whole ? y->data : scratch_at(call, c->y);
  convolution_run(c->forward, call->stream, joined(call), weights(call), to,
                  optional_as(call, IN_B, c->type, c->bias), scratch_at(call, c->workspace));
  if (!whole) cast(call->stream, tensor_count(y), c->type, to, y->type, y->data);
}

static void input_gradient(const Call *call, const void *dy) {
  const Conv *c = conv_of(call);
  bool any = false;
  for (int i = IN_X; i < call->n_in; i++) any = any || call->din[i].data;
  if (!any) return;
  void *dx = c->whole_dx ? call->din[IN_X].data : scratch_at(call, c->x);
  convolution_run(c->input, call->stream, dx, weights(call), dy, NULL,
                  scratch_at(call, c->workspace));
  if (!c->whole_dx) move_parts(call, call->din, false);
}

/* After the input's gradient: both use the same scratch for x and w. */
static void weight_gradient(const Call *call, const void *dy) {
  const Conv *c = conv_of(call);
  if (!call->din[IN_W].data) return;
  void *dw = c->whole_w ? call->din[IN_W].data : scratch_at(call, c->w);
  convolution_run(c->weight, call->stream, joined(call), dw, dy, NULL,
                  scratch_at(call, c->workspace));
  if (!c->whole_w)
    rows_copy(call->stream, c->outs * c->taps, c->channels, c->channels,
              Rows{c->type, c->padded, dw}, Rows{F32, c->channels, call->din[IN_W].data});
}

static void backward(const Call *call) {
  if (is_dense(call)) {
    dense_backward(call);
    return;
  }
  const Conv *c = conv_of(call);
  const Tensor *stored = &call->dout[0];
  DType type = c->image ? stored->type : c->type;
  const void *dy = operand_as(call, stored, type, c->y);
  bias_gradient(call->stream, type, tensor_rows(stored), c->outs, dy, scratch_at(call, c->sums),
                data_of<float>(&call->din[IN_B]));
  if (c->image) {
    if (call->din[IN_W].data) image_conv_weight_gradient(call, scratch_at(call, c->workspace));
    return;
  }
  input_gradient(call, dy);
  weight_gradient(call, dy);
}

CUDA_KERNEL(conv) = {.forward = forward,
                     .backward = backward,
                     .prepare = prepare,
                     .release = release,
                     .bf16 = CONV_X | SAVES_OUT(0),
                     .adds = CONV_X};
