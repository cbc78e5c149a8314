/* Single elements of convolutions and matrix products (formulas: kernels/conv.c and so on). */
#include "src/bench/sample_element.h"

/* ---- conv, conv_transpose: a map's voxel of n, z, y, x --------------------------------------- */

enum { IN_W, IN_B, IN_X };

static double bias_of(const Call *call, int64_t o) {
  return tensor_absent(&call->in[IN_B]) ? 0 : sample_value(&call->in[IN_B], o);
}

typedef struct Voxel {
  int64_t n, at[3];
} Voxel;

static Voxel voxel_of(const Tensor *map, int64_t row) {
  const int64_t *d = map->dim;
  return (Voxel){row / (d[1] * d[2] * d[3]),
                 {row / (d[2] * d[3]) % d[1], row / d[3] % d[2], row % d[3]}};
}

static int64_t row_of(const Tensor *map, const Voxel *v) {
  const int64_t *d = map->dim;
  return ((v->n * d[1] + v->at[0]) * d[2] + v->at[1]) * d[3] + v->at[2];
}

static void tap_place(const Tensor *w, int64_t tap, int64_t place[3]) {
  place[0] = tap / (w->dim[2] * w->dim[3]);
  place[1] = tap / w->dim[3] % w->dim[2];
  place[2] = tap % w->dim[3];
}

/* The input voxel under tap of an output voxel; false: outside. */
static bool conv_source(const Call *call, const Voxel *out, int64_t tap, Voxel *in) {
  const int *stride = ((const ConvOptions *)call->options)->stride.v;
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X];
  int64_t place[3];
  tap_place(w, tap, place);
  in->n = out->n;
  for (int a = 0; a < 3; a++) {
    in->at[a] = out->at[a] * stride[a] + place[a] - (w->dim[1 + a] - 1) / 2;
    if (in->at[a] < 0 || in->at[a] >= x->dim[1 + a]) return false;
  }
  return true;
}

/* The output voxel that has an input voxel under this tap; false: none. */
static bool conv_target(const Call *call, const Voxel *in, int64_t tap, Voxel *out) {
  const int *stride = ((const ConvOptions *)call->options)->stride.v;
  const Tensor *w = &call->in[IN_W], *y = &call->out[0];
  int64_t place[3];
  tap_place(w, tap, place);
  out->n = in->n;
  for (int a = 0; a < 3; a++) {
    int64_t from = in->at[a] - place[a] + (w->dim[1 + a] - 1) / 2;
    if (from < 0 || from % stride[a]) return false;
    out->at[a] = from / stride[a];
    if (out->at[a] >= y->dim[1 + a]) return false;
  }
  return true;
}

static int64_t taps_of(const Tensor *w) {
  return w->dim[1] * w->dim[2] * w->dim[3];
}

double sample_conv_y(const Call *call, int operand, int64_t at) {
  const Tensor *w = &call->in[IN_W], *y = &call->out[operand];
  int64_t taps = taps_of(w), o = at % y->dim[4];
  Voxel out = voxel_of(y, at / y->dim[4]), in;
  double sum = bias_of(call, o);
  for (int64_t t = 0; t < taps; t++) {
    if (!conv_source(call, &out, t, &in)) continue;
    int64_t weight = (o * taps + t) * w->dim[4];
    for (int i = IN_X; i < call->n_in; i++) {
      const Tensor *x = &call->in[i];
      int64_t row = row_of(x, &in) * x->dim[4];
      for (int64_t c = 0; c < x->dim[4]; c++)
        sum += sample_value(w, weight++) * sample_value(x, row + c);
    }
  }
  return sum;
}

static int64_t first_channel(const Call *call, int operand) {
  int64_t first = 0;
  for (int i = IN_X; i < operand; i++) first += call->in[i].dim[4];
  return first;
}

double sample_conv_dx(const Call *call, int operand, int64_t at) {
  const Tensor *w = &call->in[IN_W], *x = &call->in[operand], *dy = &call->dout[0];
  int64_t taps = taps_of(w), c = at % x->dim[4] + first_channel(call, operand);
  Voxel in = voxel_of(x, at / x->dim[4]), out;
  double sum = 0;
  for (int64_t t = 0; t < taps; t++) {
    if (!conv_target(call, &in, t, &out)) continue;
    int64_t row = row_of(dy, &out) * dy->dim[4];
    for (int64_t o = 0; o < dy->dim[4]; o++)
      sum += sample_value(dy, row + o) * sample_value(w, (o * taps + t) * w->dim[4] + c);
  }
  return sum;
}

double sample_conv_dw(const Call *call, int operand, int64_t at) {
  const Tensor *w = &call->in[operand], *dy = &call->dout[0];
  int64_t c = at % w->dim[4], t = at / w->dim[4] % taps_of(w), o = at / w->dim[4] / taps_of(w);
  int part = IN_X;
  while (c >= call->in[part].dim[4]) c -= call->in[part++].dim[4];
  const Tensor *x = &call->in[part];
  double sum = 0;
  for (int64_t row = 0; row < tensor_rows(dy); row++) {
    Voxel out = voxel_of(dy, row), in;
    if (conv_source(call, &out, t, &in))
      sum +=
          sample_value(dy, row * dy->dim[4] + o) * sample_value(x, row_of(x, &in) * x->dim[4] + c);
  }
  return sum;
}

/* Of a conv, a conv_transpose or a linear layer without an activation. */
double sample_sum_db(const Call *call, int operand, int64_t at) {
  const Tensor *dy = &call->dout[0];
  int64_t width = tensor_count(&call->in[operand]);
  double sum = 0;
  for (int64_t i = at; i < tensor_count(dy); i += width) sum += sample_value(dy, i);
  return sum;
}

/* w (Cin, taps, Cout): every output voxel has one source and one tap. */
double sample_transpose_y(const Call *call, int operand, int64_t at) {
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X], *y = &call->out[operand];
  int64_t o = at % y->dim[4], tap = 0, outs = y->dim[4];
  Voxel v = voxel_of(y, at / outs);
  for (int a = 0; a < 3; a++) {
    tap = tap * w->dim[1 + a] + v.at[a] % w->dim[1 + a];
    v.at[a] /= w->dim[1 + a];
  }
  int64_t row = row_of(x, &v) * x->dim[4];
  double sum = bias_of(call, o);
  for (int64_t c = 0; c < x->dim[4]; c++)
    sum += sample_value(x, row + c) * sample_value(w, (c * taps_of(w) + tap) * outs + o);
  return sum;
}

/* The output's row of tap over an input voxel. */
static int64_t transpose_row(const Call *call, Voxel v, int64_t tap) {
  const Tensor *w = &call->in[IN_W];
  int64_t place[3];
  tap_place(w, tap, place);
  for (int a = 0; a < 3; a++) v.at[a] = v.at[a] * w->dim[1 + a] + place[a];
  return row_of(&call->out[0], &v);
}

double sample_transpose_dx(const Call *call, int operand, int64_t at) {
  const Tensor *w = &call->in[IN_W], *x = &call->in[operand], *dy = &call->dout[0];
  int64_t c = at % x->dim[4], outs = dy->dim[4];
  Voxel v = voxel_of(x, at / x->dim[4]);
  double sum = 0;
  for (int64_t t = 0; t < taps_of(w); t++) {
    int64_t row = transpose_row(call, v, t) * outs;
    for (int64_t o = 0; o < outs; o++)
      sum += sample_value(dy, row + o) * sample_value(w, (c * taps_of(w) + t) * outs + o);
  }
  return sum;
}

double sample_transpose_dw(const Call *call, int operand, int64_t at) {
  const Tensor *w = &call->in[operand], *x = &call->in[IN_X], *dy = &call->dout[0];
  int64_t outs = w->dim[4], o = at % outs, t = at / outs % taps_of(w), c = at / outs / taps_of(w);
  double sum = 0;
  for (int64_t row = 0; row < tensor_rows(x); row++)
    sum += sample_value(x, row * x->dim[4] + c) *
           sample_value(dy, transpose_row(call, voxel_of(x, row), t) * outs + o);
  return sum;
}

/* ---- linear, matmul -------------------------------------------------------------------------- */

static bool has_relu(const Call *call) {
  return ((const LinearOptions *)call->options)->activation == ACT_RELU;
}

double sample_linear_y(const Call *call, int operand, int64_t at) {
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X];
  int64_t outs = tensor_last(&call->out[operand]), ins = tensor_last(x), o = at % outs;
  double sum = bias_of(call, o);
  for (int64_t c = 0; c < ins; c++)
    sum += sample_value(x, at / outs * ins + c) * sample_value(w, o * ins + c);
  return has_relu(call) && sum < 0 ? 0 : sum;
}

/* dy before the activation, by the sign of the y that was found. */
static double linear_g(const Call *call, int64_t at) {
  return has_relu(call) && sample_value(&call->out[0], at) <= 0 ? 0
                                                                : sample_value(&call->dout[0], at);
}

double sample_linear_dx(const Call *call, int operand, int64_t at) {
  const Tensor *w = &call->in[IN_W];
  int64_t ins = tensor_last(&call->in[operand]), outs = w->dim[0], row = at / ins * outs;
  double sum = 0;
  for (int64_t o = 0; o < outs; o++)
    sum += linear_g(call, row + o) * sample_value(w, o * ins + at % ins);
  return sum;
}

double sample_linear_dw(const Call *call, int operand, int64_t at) {
  const Tensor *x = &call->in[IN_X];
  int64_t ins = call->in[operand].dim[1], outs = call->in[operand].dim[0];
  double sum = 0;
  for (int64_t row = 0; row < tensor_rows(x); row++)
    sum += linear_g(call, row * outs + at / ins) * sample_value(x, row * ins + at % ins);
  return sum;
}

double sample_linear_db(const Call *call, int operand, int64_t at) {
  int64_t outs = tensor_count(&call->in[operand]);
  double sum = 0;
  for (int64_t i = at; i < tensor_count(&call->out[0]); i += outs) sum += linear_g(call, i);
  return sum;
}

enum { IN_A, IN_SECOND };

/* Index of b's element that column c of a meets for output o. */
static int64_t second_at(const Call *call, int64_t sample, int64_t c, int64_t o) {
  bool transpose = ((const MatmulOptions *)call->options)->transpose;
  int64_t channels = tensor_last(&call->in[IN_A]), outs = tensor_last(&call->out[0]);
  return sample * channels * outs + (transpose ? o * channels + c : c * outs + o);
}

static int64_t sample_rows(const Call *call) {
  return tensor_rows(&call->in[IN_A]) / matmul_samples(&call->in[IN_A]);
}

double sample_matmul_y(const Call *call, int operand, int64_t at) {
  int64_t channels = tensor_last(&call->in[IN_A]), outs = tensor_last(&call->out[operand]);
  int64_t row = at / outs, sample = row / sample_rows(call);
  double sum = 0;
  for (int64_t c = 0; c < channels; c++)
    sum += sample_value(&call->in[IN_A], row * channels + c) *
           sample_value(&call->in[IN_SECOND], second_at(call, sample, c, at % outs));
  return sum;
}

double sample_matmul_da(const Call *call, int operand, int64_t at) {
  int64_t channels = tensor_last(&call->in[operand]), outs = tensor_last(&call->out[0]);
  int64_t row = at / channels, sample = row / sample_rows(call);
  double sum = 0;
  for (int64_t o = 0; o < outs; o++)
    sum += sample_value(&call->dout[0], row * outs + o) *
           sample_value(&call->in[IN_SECOND], second_at(call, sample, at % channels, o));
  return sum;
}

double sample_matmul_db(const Call *call, int operand, int64_t at) {
  (void)operand;
  int64_t channels = tensor_last(&call->in[IN_A]), outs = tensor_last(&call->out[0]);
  int64_t sample = at / (channels * outs), first = sample * sample_rows(call);
  bool transpose = ((const MatmulOptions *)call->options)->transpose;
  int64_t in_sample = at % (channels * outs);
  int64_t c = transpose ? in_sample % channels : in_sample / outs;
  int64_t o = transpose ? in_sample / channels : in_sample % outs;
  double sum = 0;
  for (int64_t row = first; row < first + sample_rows(call); row++)
    sum += sample_value(&call->dout[0], row * outs + o) *
           sample_value(&call->in[IN_A], row * channels + c);
  return sum;
}
