/* Convolution three ways, in float or, where an operand is stored as BF16, in bf16 with float sums.
 * 3x3x3 with stride 1 over whole registers of channels, in float {1,3,3} and stride 2, too:
 * Winograd, in winograd.h (stride 1 measured at 340-620 GFLOP/s of direct convolution a core of an
 * EPYC 9005, whose FMA rate is 270, and at 120-240 a core of one with AVX2, whose rate is 95). Some
 * more with AVX2 over rows (row_conv.h). All else: oneDNN's channels-last kernels (brgemm and jit
 * for AVX-512; 130-285 GFLOP/s a core), where each input part is a convolution of its own with a
 * slice of the weights: forward, the others add to the output of the first; backward, the parts are
 * independent. Bound by FLOP from 16 channels on. */
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/row_conv.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/staging.h"
#include "kernels/cpu/winograd.h"
#include "kernels/options.h"

#include <stdlib.h>
#include <string.h>

enum { IN_W, IN_B, IN_X, MAX_PARTS = CONV_PARTS };

typedef struct State {
  const WinogradForm *winograd; /* not NULL: our own convolution, the library's steps stay empty */
  bool rows, rows_w; /* ours, too, as products over rows: all, or the weights' gradient */
  bool floats;       /* BF16 operands are staged as float */
  ConvStep forward[MAX_PARTS], back_x[MAX_PARTS], back_w[MAX_PARTS];
  /* Scratch holds one after another: reordered weights, what the library wants for itself, a bias's
   * gradient that is computed but not wanted, an operand staged in another type. */
  size_t w_bytes, pad_bytes, bias_bytes, staged_bytes;
} State;

static dnnl_data_type_t library_type(const Tensor *tensor) {
  return tensor->type == BF16 ? dnnl_bf16 : dnnl_f32;
}

/* The convolution of input part i, and in *first the channel of the weights where it starts. */
static ConvShape part_shape(const Call *call, int i, int64_t *first) {
  const int *stride = ((const ConvOptions *)call->options)->stride.v;
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X + i], *y = &call->out[0];
  ConvShape s = {.bias = i == 0 && !tensor_absent(&call->in[IN_B]),
                 .accumulate = i > 0,
                 .x_type = library_type(x),
                 .y_type = library_type(y)};
  *first = 0;
  for (int part = 0; part < i; part++) *first += call->in[IN_X + part].dim[4];
  s.x[0] = x->dim[0], s.x[1] = x->dim[4];
  s.y[0] = y->dim[0], s.y[1] = y->dim[4];
  s.w[0] = w->dim[0], s.w[1] = x->dim[4];
  s.w_stride[1] = 1;
  int64_t step = w->dim[4];
  for (int a = 2; a >= 0; a--) {
    s.x[2 + a] = x->dim[1 + a];
    s.y[2 + a] = y->dim[1 + a];
    s.w[2 + a] = w->dim[1 + a];
    s.w_stride[2 + a] = step;
    step *= w->dim[1 + a];
    s.stride[a] = stride[a];
    s.pad[a] = (w->dim[1 + a] - 1) / 2;
  }
  s.w_stride[0] = step;
  return s;
}

static bool add_step(State *state, ConvStep *step, ConvDirection direction, const ConvShape *shape,
                     Error *error) {
  ConvShape typed = *shape; /* what is read is staged */
  if (shape->x_type != shape->y_type) {
    if (direction != CONV_BACKWARD_X) typed.x_type = dnnl_bf16;
    if (direction != CONV_FORWARD) typed.y_type = dnnl_bf16;
  }
  if (!conv_step_make(step, direction, &typed, error)) return false;
  if (step->w_bytes > state->w_bytes) state->w_bytes = step->w_bytes;
  if (step->pad_bytes > state->pad_bytes) state->pad_bytes = step->pad_bytes;
  return true;
}

/* ---- operands of two types ----------------------------------------------------------------------
 * bf16 arithmetic reads bf16: a float operand beside a BF16 one (the image, the gradient of the
 * last layer) is rounded into scratch. */

enum { STAGE_RUN = 1 << 13 };

static bool is_staged(const Tensor *tensor, const Tensor *other) {
  return tensor->type == F32 && other->type == BF16;
}

static size_t staged_bytes(const Tensor *tensor, const Tensor *other) {
  size_t bytes = (size_t)tensor_count(tensor) * sizeof(Bf16);
  return is_staged(tensor, other) ? (bytes + 63) / 64 * 64 : 0;
}

/* What the library reads for `tensor` in a convolution with `other`. */
static void *staged(const State *state, const Call *call, const Tensor *tensor,
                    const Tensor *other) {
  if (!is_staged(tensor, other)) return tensor->data;
  Bf16 *to = (Bf16 *)(void *)((char *)call->scratch + state->w_bytes + state->pad_bytes +
                              state->bias_bytes);
  const float *from = tensor->data;
  int64_t count = tensor_count(tensor);
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; i += STAGE_RUN)
    bf16_from_floats(to + i, from + i, count - i < STAGE_RUN ? count - i : STAGE_RUN);
  return to;
}

/* ---- 3x3x3 and {1,3,3} by Winograd --------------------------------------------------------- */

enum { LEAST_TILES = 64 }; /* fewer do not pay for the transform of the weights */

static bool has_bf16(const Call *call) {
  bool any = call->out[0].type == BF16;
  for (int i = IN_X; i < call->n_in; i++) any |= call->in[i].type == BF16;
  return any;
}

static Winograd winograd_of(const Call *call) {
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X], *y = &call->out[0];
  return (Winograd){y->dim[0],
                    {x->dim[1], x->dim[2], x->dim[3]},
                    {y->dim[1], y->dim[2], y->dim[3]},
                    w->dim[4],
                    w->dim[0]};
}

static int64_t tiles_of(const Winograd *g, int64_t deep, int64_t side) {
  return g->samples * ((g->out[0] + deep - 1) / deep) * ((g->out[1] + side - 1) / side) *
         ((g->out[2] + side - 1) / side);
}

/* Whether tiles of 2x4x4 are the faster ones, by products: 144 points a tile where 2x2x2 has 64.
 * The points of weights cost as much as those of some tiles, and of more where they leave the
 * cache: deep levels of few voxels and many channels keep the smaller tiles. The cache is no faster
 * beside wider vectors, the products are. */
static bool wide_tiles(const Winograd *g) {
  int64_t weights = 16 + g->ins * g->outs * VEC / 2048;
  return 144 * (tiles_of(g, 2, 4) + weights) < 64 * (tiles_of(g, 2, 2) + weights);
}

/* The form that fits, or NULL. Over slices in float only: in bf16 the library's direct products are
 * as many a second as a transform saves. */
static const WinogradForm *winograd_form(const Call *call) {
  const int *stride = ((const ConvOptions *)call->options)->stride.v;
  const Tensor *w = &call->in[IN_W], *y = &call->out[0];
  bool flat = w->dim[1] == 1, bf16 = has_bf16(call);
  int step = stride[2];
  for (int a = 0; a < 3; a++)
    if (stride[a] != (a == 0 && flat ? 1 : step) || w->dim[1 + a] != (a == 0 && flat ? 1 : 3))
      return NULL;
  if (step > 2 || (step == 2 && bf16)) return NULL;
  bool whole = w->dim[0] % winograd_channels() == 0;
  for (int i = IN_X; i < call->n_in; i++)
    whole = whole && call->in[i].dim[4] % winograd_channels() == 0;
  if (!whole || (flat && bf16) || tensor_rows(y) < (flat ? 16 : 8) * LEAST_TILES) return NULL;
  if (step == 2 && w->dim[4] < 2 * VEC) return NULL; /* moving the points costs what they save */
  if (step == 2) return flat ? &winograd_flat_stride : &winograd_stride;
  if (flat || bf16) return flat ? &winograd_flat : &winograd_bf16;
  Winograd shape = winograd_of(call);
  return wide_tiles(&shape) ? &winograd_wide : &winograd_float;
}

/* `part`: the shapes; a gradient that is not wanted has none of its own. */
static Maps maps_of(const Tensor *part, const Tensor *data, int count) {
  Maps maps = {.count = count};
  for (int i = 0; i < count; i++) {
    maps.data[i] = data[i].data;
    maps.channels[i] = part[i].dim[4];
    maps.type[i] = part[i].type;
  }
  return maps;
}

/* Where a form's gradient of x stands. */
static const WinogradForm *winograd_x(const WinogradForm *form) {
  if (form == &winograd_flat_stride) return &winograd_flat_spread;
  return form == &winograd_stride ? &winograd_spread : form;
}

static void winograd_back(const Call *call, const WinogradForm *form) {
  Winograd shape = winograd_of(call);
  int parts = call->n_in - IN_X;
  const Tensor *in = &call->in[IN_X], *out = &call->out[0];
  Maps x = maps_of(in, in, parts), dx = maps_of(in, &call->din[IN_X], parts);
  Maps dy = maps_of(out, &call->dout[0], 1);
  bool any = false;
  for (int i = 0; i < parts; i++) any = any || dx.data[i];
  if (any) winograd_x(form)->backward_x(&shape, &dy, call->in[IN_W].data, &dx, call->scratch);
  if (call->din[IN_W].data)
    form->backward_w(&shape, &x, &dy, call->din[IN_W].data, call->din[IN_B].data, call->scratch);
}

/* ---- over rows ------------------------------------------------------------------------------- */

/* Of one float input by vectors of outputs, where registers hold 8 numbers: {1,kh,kw} with strides,
 * in which the library's channels-last kernels for AVX2 come to 20-25 GFLOP/s of a core's 95, and
 * an image's weights' gradient, in which they come to 4-25. Those for AVX-512 were not compared. */
static bool rows_fit(const Call *call) {
  const int *stride = ((const ConvOptions *)call->options)->stride.v;
  const Tensor *w = &call->in[IN_W];
  bool flat = w->dim[1] == 1 && stride[0] == 1, image = call->in[IN_X].dim[4] < VEC;
  return VEC == 8 && call->n_in == IN_X + 1 && !has_bf16(call) && (flat || image) &&
         w->dim[1] * w->dim[2] * w->dim[3] > 1 && w->dim[3] <= ROW_CONV_WIDEST &&
         w->dim[0] % VEC == 0;
}

/* Its channels fill registers, too, or all but the weights' gradient is left to the library. */
static bool rows_whole(const Call *call) {
  return call->in[IN_X].dim[4] >= VEC;
}

static RowConv rows_of(const Call *call) {
  const int *stride = ((const ConvOptions *)call->options)->stride.v;
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X], *y = &call->out[0];
  return (RowConv){.samples = x->dim[0],
                   .ins = w->dim[4],
                   .outs = w->dim[0],
                   .in = {x->dim[1], x->dim[2], x->dim[3]},
                   .out = {y->dim[1], y->dim[2], y->dim[3]},
                   .kernel = {w->dim[1], w->dim[2], w->dim[3]},
                   .stride = {stride[0], stride[1], stride[2]}};
}

static void rows_back_w(const Call *call) {
  RowConv shape = rows_of(call);
  row_conv_backward_w(&shape, call->in[IN_X].data, call->dout[0].data, call->din[IN_W].data,
                      call->din[IN_B].data, call->scratch);
}

static void rows_back(const Call *call) {
  RowConv shape = rows_of(call);
  if (call->din[IN_X].data)
    row_conv_backward_x(&shape, call->dout[0].data, call->in[IN_W].data, call->din[IN_X].data,
                        call->scratch);
  if (call->din[IN_W].data) rows_back_w(call);
}

/* ---- the call -------------------------------------------------------------------------------- */

static void release(Call *call) {
  State *state = call->state;
  if (!state) return;
  for (int i = 0; i < MAX_PARTS; i++) {
    conv_step_free(&state->forward[i]);
    conv_step_free(&state->back_x[i]);
    conv_step_free(&state->back_w[i]);
  }
  free(state);
  call->state = NULL;
}

static bool prepare_steps(Call *call, State *state, Error *error) {
  state->winograd = winograd_form(call);
  if (state->winograd) {
    Winograd shape = winograd_of(call);
    size_t other = call->backward ? winograd_x(state->winograd)->scratch(&shape, true) : 0;
    call->scratch_bytes = state->winograd->scratch(&shape, call->backward);
    if (other > call->scratch_bytes) call->scratch_bytes = other;
    return true;
  }
  state->rows = rows_fit(call) && rows_whole(call);
  state->rows_w = rows_fit(call) && !state->rows && call->backward;
  RowConv rows = rows_of(call);
  call->scratch_bytes = row_conv_scratch(&rows);
  if (state->rows) return true;
  bool good = true;
  for (int i = 0; good && i < call->n_in - IN_X; i++) {
    int64_t first;
    const Tensor *x = &call->in[IN_X + i], *y = &call->out[0];
    ConvShape shape = part_shape(call, i, &first);
    size_t bytes = staged_bytes(x, y) + staged_bytes(y, x); /* one of them at most */
    if (bytes > state->staged_bytes && (call->backward || x->type == F32))
      state->staged_bytes = bytes;
    if (call->backward)
      good = add_step(state, &state->back_x[i], CONV_BACKWARD_X, &shape, error) &&
             (state->rows_w || add_step(state, &state->back_w[i], CONV_BACKWARD_W, &shape, error));
    else
      good = add_step(state, &state->forward[i], CONV_FORWARD, &shape, error);
  }
  if (!good) {
    release(call);
    return false;
  }
  state->w_bytes = (state->w_bytes + 63) / 64 * 64;
  state->pad_bytes = (state->pad_bytes + 63) / 64 * 64;
  size_t bias = (size_t)call->out[0].dim[4] * sizeof(float);
  state->bias_bytes = call->backward ? (bias + 63) / 64 * 64 : 0;
  size_t bytes = state->w_bytes + state->pad_bytes + state->bias_bytes + state->staged_bytes;
  if (!state->rows_w || bytes > call->scratch_bytes) call->scratch_bytes = bytes;
  return true;
}

/* oneDNN 2.6.3 gets the gradient of x wrong in bf16 for 1x1x1 kernels with an odd number of output
 * channels (jit_bf16_1x1 pairs the last with what follows it). */
static bool library_errs(const Call *call) {
  const Tensor *w = &call->in[IN_W];
  return call->backward && w->dim[0] % 2 == 1 && w->dim[1] * w->dim[2] * w->dim[3] == 1;
}

static bool prepare(Call *call, Error *error) {
  State *state = calloc(1, sizeof *state);
  if (!state) return fail(error, "conv: out of memory");
  call->state = state;
  state->floats = library_errs(call) && staging_needed(call);
  if (!state->floats) return prepare_steps(call, state, error);
  Call floats = *call;
  for (int i = IN_X; i < call->n_in; i++) floats.in[i].type = F32;
  floats.out[0].type = F32;
  bool good = prepare_steps(&floats, state, error);
  call->state = floats.state;
  if (!good) return false;
  call->scratch_bytes = floats.scratch_bytes;
  staging_add(call);
  return true;
}

static void forward(const Call *call) {
  const State *state = call->state;
  if (state->winograd) {
    Winograd shape = winograd_of(call);
    Maps x = maps_of(&call->in[IN_X], &call->in[IN_X], call->n_in - IN_X);
    Maps y = maps_of(&call->out[0], &call->out[0], 1);
    state->winograd->forward(&shape, &x, call->in[IN_W].data, input_data(call, IN_B), &y,
                             call->scratch);
    return;
  }
  if (state->rows) {
    RowConv shape = rows_of(call);
    row_conv_forward(&shape, call->in[IN_X].data, call->in[IN_W].data, input_data(call, IN_B),
                     call->out[0].data, call->scratch);
    return;
  }
  char *scratch = call->scratch;
  int64_t first = 0;
  for (int i = 0; i < call->n_in - IN_X; i++) {
    ConvData data = {staged(state, call, &call->in[IN_X + i], &call->out[0]),
                     (float *)call->in[IN_W].data + first,
                     input_data(call, IN_B),
                     call->out[0].data,
                     scratch,
                     scratch + state->w_bytes};
    conv_step_run(&state->forward[i], &data);
    first += call->in[IN_X + i].dim[4];
  }
}

/* db alone: rare, only where the weights are frozen and the bias is not. */
static void bias_gradient(const Tensor *dy, float *db) {
  int64_t outs = tensor_last(dy), rows = tensor_rows(dy);
  for (int64_t o = 0; o < outs; o++) {
    double sum = 0;
    for (int64_t row = 0; row < rows; row++) sum += real_get(dy->data, row * outs + o, dy->type);
    db[o] = (float)sum;
  }
}

static void backward(const Call *call) {
  const State *state = call->state;
  if (state->floats && staging_needed(call)) {
    staging_run(call, backward);
    return;
  }
  char *scratch = call->scratch;
  float *w = call->in[IN_W].data, *dw = call->din[IN_W].data, *db = call->din[IN_B].data;
  void *pad = scratch + state->w_bytes;
  void *unasked = scratch + state->w_bytes + state->pad_bytes;
  int64_t first = 0;
  if (db && !dw) bias_gradient(&call->dout[0], db);
  if (state->winograd) {
    winograd_back(call, state->winograd);
    return;
  }
  if (state->rows) {
    rows_back(call);
    return;
  }
  for (int i = 0; i < call->n_in - IN_X; i++) {
    const Tensor *x = &call->in[IN_X + i];
    void *dx = call->din[IN_X + i].data, *dy = staged(state, call, &call->dout[0], x);
    if (dx) {
      ConvData data = {dx, w + first, NULL, dy, scratch, pad};
      conv_step_run(&state->back_x[i], &data);
    }
    if (dw && state->rows_w) {
      rows_back_w(call);
    } else if (dw) {
      ConvData data = {
          staged(state, call, x, &call->dout[0]), dw + first, db ? db : unasked, dy, scratch, pad};
      conv_step_run(&state->back_w[i], &data);
    }
    first += call->in[IN_X + i].dim[4];
  }
}

const Kernel conv_cpu = {.forward = forward,
                         .backward = backward,
                         .prepare = prepare,
                         .release = release,
                         .bf16 = CONV_X | SAVES_OUT(0)};
