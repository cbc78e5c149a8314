/* Fourier position encoding (Tancik et al. 2020; SAM's prompts and image): of coordinates x
 * (..., A) and frequencies G (A, F), drawn once,
 *   u_a = (f(size_a x_a) + offset) / frame_a,   f the identity, or floor (x + FOURIER_NEAR)
 *   phase_k = 2 pi sum_a (2 u_a - 1) G[a, k]
 *   y = sin(phase_0 .. phase_{F-1}), cos(phase_0 .. phase_{F-1})
 * so that u in 0..1 spans the frame. Without x: the cells of `grid`, whose axes are named as those
 * of maps, the slowest first, while coordinates begin with the fastest, as points (x, y) do:
 *   y (grid.., 2F) at x_a = the cell's index along axis A-1-a.
 * Backward: dx_a = 4 pi size_a / frame_a sum_k G[a, k] (cos dsin - sin dcos), 0 with floor. */
#include "kernels/options.h"

#include <math.h>
#include <string.h>

static const Option options[] = {
    {"grid", OPTION_INTS, offsetof(FourierPositionOptions, grid), 0, 1, 4096, NULL, NULL,
     "sizes of a grid of cells, without coordinates: h,w"},
    {"size", OPTION_INTS, offsetof(FourierPositionOptions, size), 0, 1, 65536, NULL, NULL,
     "factors on coordinates, as shares of W,H become pixels; none: 1"},
    {"frame", OPTION_INTS, offsetof(FourierPositionOptions, frame), 0, 1, 65536, NULL, NULL,
     "what spans -1..1, in the order of coordinates: W,H; none: the grid, or 1"},
    {"offset", OPTION_FLOAT, offsetof(FourierPositionOptions, offset), .5, -65536, 65536, NULL,
     NULL, "added before the division: a pixel's or cell's centre"},
    {"floor", OPTION_BOOL, offsetof(FourierPositionOptions, floor), 0, 0, 1, NULL, NULL,
     "to whole pixels; no gradient passes"},
    {0}};

enum { IN_G, IN_X };

static bool has_points(const Call *call) {
  return call->n_in > IN_X && !tensor_absent(&call->in[IN_X]);
}

static bool check_options(const Call *call, Error *error) {
  const FourierPositionOptions *o = call->options;
  int axes = (int)call->in[IN_G].dim[0];
  bool points = has_points(call);
  if (points ? o->grid.count != 0 : o->grid.count != axes)
    return fail(error, "fourier_position: %s, found %d sizes",
                points ? "grid is for cells, without coordinates"
                       : "without coordinates grid has a size for each of G's rows",
                o->grid.count);
  if ((o->size.count && o->size.count != axes) || (o->frame.count && o->frame.count != axes))
    return fail(error, "fourier_position: size and frame have %d numbers or none, found %d and %d",
                axes, o->size.count, o->frame.count);
  return true;
}

static bool shape(Call *call, Error *error) {
  const FourierPositionOptions *o = call->options;
  const Tensor *g = &call->in[IN_G], *x = &call->in[IN_X];
  bool points = has_points(call);
  if (g->rank != 2 || g->dim[0] > FOURIER_AXES)
    return fail(error, "fourier_position: frequencies are (A, F), A at most %d, found %s",
                FOURIER_AXES, tensor_shape_text(g));
  if (points && (x->rank < 1 || tensor_last(x) != g->dim[0]))
    return fail(error, "fourier_position: coordinates are (..., %lld), found %s",
                (long long)g->dim[0], tensor_shape_text(x));
  if (!check_options(call, error)) return false;
  int64_t dim[MAX_RANK];
  int rank = points ? x->rank : o->grid.count + 1;
  for (int a = 0; a + 1 < rank; a++) dim[a] = points ? x->dim[a] : o->grid.v[a];
  dim[rank - 1] = 2 * g->dim[1];
  call->out[0] = tensor_make(points ? x->type : g->type, rank, dim);
  return true;
}

static unsigned saves_at(const Call *call) {
  const FourierPositionOptions *o = call->options;
  return o->floor ? 0 : ~0u;
}

static unsigned constant_at(const Call *call) {
  return saves_at(call) ? 0 : SAVES_IN(IN_X);
}

static void cost(const Call *call, Cost *cost) {
  int64_t axes = call->in[IN_G].dim[0];
  cost->flops = (double)(tensor_count(&call->out[0]) * (axes + 1));
}

/* u of coordinate a of one row. */
static double share(const Call *call, int64_t row, int a) {
  const FourierPositionOptions *o = call->options;
  int axes = (int)call->in[IN_G].dim[0];
  double x, frame = 1;
  if (has_points(call)) {
    x = ((const REAL *)call->in[IN_X].data)[row * axes + a];
  } else {
    int64_t below = 1;
    for (int b = axes - 1; b > axes - 1 - a; b--) below *= o->grid.v[b];
    frame = o->grid.v[axes - 1 - a];
    x = (double)(row / below % o->grid.v[axes - 1 - a]);
  }
  if (o->size.count) x *= o->size.v[a];
  if (o->floor) x = floor(x + FOURIER_NEAR);
  return (x + o->offset) / (o->frame.count ? o->frame.v[a] : frame);
}

static void forward(const Call *call) {
  const REAL *g = call->in[IN_G].data;
  int64_t axes = call->in[IN_G].dim[0], waves = call->in[IN_G].dim[1];
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++) {
    REAL *y = (REAL *)call->out[0].data + row * 2 * waves;
    double v[FOURIER_AXES];
    for (int a = 0; a < axes; a++) v[a] = 2 * share(call, row, a) - 1;
    for (int64_t k = 0; k < waves; k++) {
      double turns = 0;
      for (int a = 0; a < axes; a++) turns += v[a] * g[a * waves + k];
      y[k] = (REAL)sin(2 * M_PI * turns);
      y[waves + k] = (REAL)cos(2 * M_PI * turns);
    }
  }
}

static void backward(const Call *call) {
  const FourierPositionOptions *o = call->options;
  const REAL *g = call->in[IN_G].data, *y = call->out[0].data, *dy = call->dout[0].data;
  REAL *dx = call->n_in > IN_X ? call->din[IN_X].data : NULL;
  int64_t axes = call->in[IN_G].dim[0], waves = call->in[IN_G].dim[1];
  if (dx && o->floor) memset(dx, 0, tensor_bytes(&call->in[IN_X]));
  for (int64_t row = 0; dx && !o->floor && row < tensor_rows(&call->out[0]); row++)
    for (int a = 0; a < axes; a++) {
      const REAL *at = y + row * 2 * waves, *d = dy + row * 2 * waves;
      double sum = 0, step = o->size.count ? o->size.v[a] : 1;
      for (int64_t k = 0; k < waves; k++)
        sum += g[a * waves + k] * ((double)at[waves + k] * d[k] - (double)at[k] * d[waves + k]);
      dx[row * axes + a] = (REAL)(4 * M_PI * step / (o->frame.count ? o->frame.v[a] : 1) * sum);
    }
}

const Op OP_ROW(fourier_position) = {
    .name = "fourier_position",
    .doc = "sines and cosines of random frequencies, of coordinates or of a grid's cells",
    .min_in = 1,
    .max_in = 2,
    .n_out = 1,
    .saves = {[IN_X] = SAVES_IN(IN_G) | SAVES_OUT(0)},
    .saves_at = saves_at,
    .constant_at = constant_at,
    .constant = SAVES_IN(IN_G),
    .optional = SAVES_IN(IN_X),
    .options = options,
    .options_bytes = sizeof(FourierPositionOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward},
};
