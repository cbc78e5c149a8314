/* Convolution two ways. 3x3x3 with stride 1 over whole registers of channels: Winograd, in
 * winograd.c (measured at 340-620 GFLOP/s of direct convolution a core of an EPYC 9005, whose FMA
 * rate is 270). All else: oneDNN's channels-last kernels (brgemm and jit for AVX-512; 130-285
 * GFLOP/s a core), where each input part is a convolution of its own with a slice of the weights:
 * forward, the second adds to the output of the first; backward, the parts are independent. Bound
 * by FLOP from 16 channels on. */
#include "kernels/onednn.h"
#include "kernels/options.h"
#include "kernels/winograd.h"

#include <stdlib.h>
#include <string.h>

enum { IN_W, IN_B, IN_X, MAX_PARTS = 2 };

typedef struct State {
  bool winograd; /* then nothing of the library's */
  ConvStep forward[MAX_PARTS], back_x[MAX_PARTS], back_w[MAX_PARTS];
  size_t w_bytes, pad_bytes; /* of scratch: weights, then the library's, then a bias nobody asks */
} State;

extern const Kernel conv_cpu;

/* The convolution of input part i, and in *first the channel of the weights where it starts. */
static ConvShape part_shape(const Call *call, int i, int64_t *first) {
  const int *stride = ((const ConvOptions *)call->options)->stride.v;
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X + i], *y = &call->out[0];
  ConvShape s = {.bias = i == 0, .accumulate = i > 0};
  *first = i ? call->in[IN_X].dim[4] : 0;
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
  if (!conv_step_make(step, direction, shape, error)) return false;
  if (step->w_bytes > state->w_bytes) state->w_bytes = step->w_bytes;
  if (step->pad_bytes > state->pad_bytes) state->pad_bytes = step->pad_bytes;
  return true;
}

/* ---- 3x3x3 by Winograd ------------------------------------------------------------------------
 */

enum { LEAST_TILES = 64 }; /* fewer do not pay for the transform of the weights */

static Winograd winograd_of(const Call *call) {
  const Tensor *w = &call->in[IN_W], *y = &call->out[0];
  return (Winograd){y->dim[0], {y->dim[1], y->dim[2], y->dim[3]}, w->dim[4], w->dim[0]};
}

static bool winograd_fits(const Call *call) {
  const int *stride = ((const ConvOptions *)call->options)->stride.v;
  const Tensor *w = &call->in[IN_W], *y = &call->out[0];
  for (int a = 0; a < 3; a++)
    if (stride[a] != 1 || w->dim[1 + a] != 3) return false;
  bool whole = w->dim[0] % winograd_channels() == 0;
  for (int i = IN_X; i < call->n_in; i++)
    whole = whole && call->in[i].dim[4] % winograd_channels() == 0;
  return whole && tensor_rows(y) >= 8 * LEAST_TILES;
}

static Maps maps_of(const Tensor *part, int count) {
  Maps maps = {.count = count};
  for (int i = 0; i < count; i++) maps.data[i] = part[i].data, maps.channels[i] = part[i].dim[4];
  return maps;
}

static void winograd_back(const Call *call) {
  Winograd shape = winograd_of(call);
  int parts = call->n_in - IN_X;
  Maps x = maps_of(&call->in[IN_X], parts), dx = maps_of(&call->din[IN_X], parts);
  const float *dy = call->dout[0].data;
  if (dx.data[0] || dx.data[1])
    winograd_backward_x(&shape, dy, call->in[IN_W].data, &dx, call->scratch);
  if (call->din[IN_W].data)
    winograd_backward_w(&shape, &x, dy, call->din[IN_W].data, call->din[IN_B].data, call->scratch);
}

/* ---- the call -----------------------------------------------------------------------------------
 */

static bool prepare(Call *call, Error *error) {
  State *state = calloc(1, sizeof *state);
  if (!state) return fail(error, "conv: out of memory");
  call->state = state;
  state->winograd = winograd_fits(call);
  if (state->winograd) {
    Winograd shape = winograd_of(call);
    call->scratch_bytes = winograd_scratch(&shape, call->backward);
    return true;
  }
  bool good = true;
  for (int i = 0; good && i < call->n_in - IN_X; i++) {
    int64_t first;
    ConvShape shape = part_shape(call, i, &first);
    if (call->backward)
      good = add_step(state, &state->back_x[i], CONV_BACKWARD_X, &shape, error) &&
             add_step(state, &state->back_w[i], CONV_BACKWARD_W, &shape, error);
    else
      good = add_step(state, &state->forward[i], CONV_FORWARD, &shape, error);
  }
  if (!good) {
    conv_cpu.release(call);
    return false;
  }
  state->w_bytes = (state->w_bytes + 63) / 64 * 64;
  state->pad_bytes = (state->pad_bytes + 63) / 64 * 64;
  call->scratch_bytes = state->w_bytes + state->pad_bytes;
  if (call->backward) call->scratch_bytes += (size_t)call->out[0].dim[4] * sizeof(float);
  return true;
}

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

static void forward(const Call *call) {
  const State *state = call->state;
  if (state->winograd) {
    Winograd shape = winograd_of(call);
    Maps x = maps_of(&call->in[IN_X], call->n_in - IN_X);
    winograd_forward(&shape, &x, call->in[IN_W].data, call->in[IN_B].data, call->out[0].data,
                     call->scratch);
    return;
  }
  char *scratch = call->scratch;
  int64_t first = 0;
  for (int i = 0; i < call->n_in - IN_X; i++) {
    ConvData data = {call->in[IN_X + i].data,
                     (float *)call->in[IN_W].data + first,
                     call->in[IN_B].data,
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
  const float *data = dy->data;
  for (int64_t o = 0; o < outs; o++) {
    double sum = 0;
    for (int64_t row = 0; row < rows; row++) sum += data[row * outs + o];
    db[o] = (float)sum;
  }
}

static void backward(const Call *call) {
  const State *state = call->state;
  char *scratch = call->scratch;
  float *w = call->in[IN_W].data, *dw = call->din[IN_W].data, *db = call->din[IN_B].data;
  void *dy = call->dout[0].data, *pad = scratch + state->w_bytes;
  void *unasked = scratch + state->w_bytes + state->pad_bytes;
  int64_t first = 0;
  if (db && !dw) bias_gradient(&call->dout[0], db);
  if (state->winograd) {
    winograd_back(call);
    return;
  }
  for (int i = 0; i < call->n_in - IN_X; i++) {
    void *x = call->in[IN_X + i].data, *dx = call->din[IN_X + i].data;
    if (dx) {
      ConvData data = {dx, w + first, NULL, dy, scratch, pad};
      conv_step_run(&state->back_x[i], &data);
    }
    if (dw) {
      ConvData data = {x, dw + first, db ? db : unasked, dy, scratch, pad};
      conv_step_run(&state->back_w[i], &data);
    }
    first += call->in[IN_X + i].dim[4];
  }
}

const Kernel conv_cpu = {
    .forward = forward, .backward = backward, .prepare = prepare, .release = release};
