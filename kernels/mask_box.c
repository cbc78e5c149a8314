/* The box of each slice of each mask (options.h says how boxes are written). A mask's profile along
 * an axis is the largest logit of each column (of each row): t_j. Of the voxels above 0, without a
 * gradient:
 *   x1 = the first j with t_j > 0, over W; x2 the last; 0 where there is none.
 * soft, with r_j = sigmoid(t_j) the probability that column j has a voxel, column j is the first
 * one with the weight w_j = r_j prod_{i < j} (1 - r_i):
 *   x1 = sum_j j w_j / sum_j w_j / W, and x2 likewise from the other end.
 * With g_j = dx1/dw_j, S_j the product and T_j = g_{j+1} r_{j+1} + (1 - r_{j+1}) T_{j+1}:
 *   dx1/dr_j = S_j (g_j - T_j), which goes to the first of the column's largest voxels. */
#include "kernels/options.h"
#include "kernels/plane_box.h"

#include <math.h>
#include <string.h>

static const Option options[] = {{"soft", OPTION_BOOL, offsetof(MaskBoxOptions, soft), 0, 0, 1,
                                  NULL, NULL, "of probabilities, with a gradient"},
                                 {0}};

/* Of one slice: `lines` = W columns, then H rows; arrays (lines, K). */
typedef struct Profiles {
  int64_t width, height, queries, lines;
  REAL *top, *slope; /* the largest logit, and its gradient */
  int32_t *at;       /* where in the line */
  double *open;      /* (lines): S of one query */
} Profiles;

static bool shape(Call *call, Error *error) {
  const Tensor *x = &call->in[0];
  if (x->rank != 5)
    return fail(error, "mask_box: mask logits have 5 axes (N, D, H, W, K), found %s",
                tensor_shape_text(x));
  call->out[0] = tensor_make(x->type, 3, (int64_t[]){x->dim[0] * x->dim[4], x->dim[1], BOUNDS});
  return true;
}

static unsigned saves_at(const Call *call) {
  return ((const MaskBoxOptions *)call->options)->soft ? SAVES_IN(0) : 0;
}

static unsigned constant_at(const Call *call) {
  return ((const MaskBoxOptions *)call->options)->soft ? 0 : SAVES_IN(0);
}

static void cost(const Call *call, Cost *cost) {
  cost->flops = 2.0 * (double)tensor_count(&call->in[0]);
}

static Profiles profiles_make(const Call *call) {
  const int64_t *dim = call->in[0].dim;
  Profiles p = {.height = dim[2], .width = dim[3], .queries = dim[4], .lines = dim[2] + dim[3]};
  size_t count = (size_t)(p.lines * p.queries);
  p.open = call->scratch;
  if (!p.open) return p;
  p.top = (REAL *)(void *)(p.open + p.lines);
  p.slope = p.top + count;
  p.at = (int32_t *)(void *)(p.slope + count);
  return p;
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  Profiles p = profiles_make(call);
  call->scratch_bytes = (size_t)p.lines * sizeof(double) +
                        (size_t)(p.lines * p.queries) * (2 * sizeof(REAL) + sizeof(int32_t));
  return true;
}

static void line_take(const Profiles *p, int64_t line, int32_t at, const REAL *x) {
  REAL *top = p->top + line * p->queries;
  int32_t *from = p->at + line * p->queries;
  for (int64_t q = 0; q < p->queries; q++)
    if (at == 0 || x[q] > top[q]) {
      top[q] = x[q];
      from[q] = at;
    }
}

static void profiles_read(const Profiles *p, const REAL *x) {
  for (int64_t v = 0; v < p->height; v++)
    for (int64_t u = 0; u < p->width; u++, x += p->queries) {
      line_take(p, u, (int32_t)v, x);
      line_take(p, p->width + v, (int32_t)u, x);
    }
}

static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}

/* One end of one query's box: the first of `count` lines from `top` on, or the last, in lines. */
static double hard_end(const Profiles *p, const REAL *top, int64_t count, bool last) {
  for (int64_t i = 0; i < count; i++) {
    int64_t line = last ? count - 1 - i : i;
    if (top[line * p->queries] > 0) return (double)line;
  }
  return 0;
}

/* And in expectation. total: the sum of the weights. */
static double soft_end(const Profiles *p, const REAL *top, int64_t count, bool last,
                       double *total) {
  double open = 1, sum = 0;
  *total = 0;
  for (int64_t i = 0; i < count; i++) {
    int64_t line = last ? count - 1 - i : i;
    double r = sigmoid(top[line * p->queries]);
    p->open[line] = open;
    sum += (double)line * r * open;
    *total += r * open;
    open *= 1 - r;
  }
  return *total > 0 ? sum / *total : 0;
}

/* Adds the gradient of soft_end, times `scale`, to that of the logits. */
static void soft_slope(const Profiles *p, int64_t first, int64_t count, bool last, double scale) {
  const REAL *top = p->top + first;
  double total, end = soft_end(p, top, count, last, &total), beyond = 0;
  for (int64_t i = count - 1; i >= 0 && total > 0; i--) {
    int64_t line = last ? count - 1 - i : i;
    double r = sigmoid(top[line * p->queries]), own = ((double)line - end) / total;
    p->slope[first + line * p->queries] +=
        (REAL)(scale * p->open[line] * (own - beyond) * r * (1 - r));
    beyond = own * r + (1 - r) * beyond;
  }
}

/* Box (n, q) of slice d. */
static int64_t box_of(const Call *call, int64_t n, int64_t d, int64_t q) {
  const int64_t *dim = call->in[0].dim;
  return ((n * dim[4] + q) * dim[1] + d) * BOUNDS;
}

static void forward(const Call *call) {
  const MaskBoxOptions *o = call->options;
  Profiles p = profiles_make(call);
  int64_t depth = call->in[0].dim[1], slice = p.width * p.height * p.queries;
  for (int64_t s = 0; s < call->in[0].dim[0] * depth; s++) {
    profiles_read(&p, (const REAL *)call->in[0].data + s * slice);
    for (int64_t i = 0; i < BOUNDS * p.queries; i++) {
      int64_t q = i / BOUNDS, side = i % BOUNDS, count = side % 2 ? p.height : p.width;
      const REAL *top = p.top + (side % 2 ? p.width * p.queries : 0) + q;
      double total, end = o->soft ? soft_end(&p, top, count, side > 1, &total)
                                  : hard_end(&p, top, count, side > 1);
      ((REAL *)call->out[0].data)[box_of(call, s / depth, s % depth, q) + side] =
          (REAL)(end / (double)count);
    }
  }
}

static void line_give(const Profiles *p, int64_t line, int32_t at, REAL *dx) {
  for (int64_t q = 0; q < p->queries; q++)
    if (p->at[line * p->queries + q] == at) dx[q] += p->slope[line * p->queries + q];
}

/* Of one slice. */
static void profiles_write(const Profiles *p, REAL *dx) {
  for (int64_t v = 0; v < p->height; v++)
    for (int64_t u = 0; u < p->width; u++, dx += p->queries) {
      for (int64_t q = 0; q < p->queries; q++) dx[q] = 0;
      line_give(p, u, (int32_t)v, dx);
      line_give(p, p->width + v, (int32_t)u, dx);
    }
}

static void backward(const Call *call) {
  Profiles p = profiles_make(call);
  int64_t depth = call->in[0].dim[1], slice = p.width * p.height * p.queries;
  const REAL *dy = call->dout[0].data;
  if (!call->din[0].data) return;
  for (int64_t s = 0; s < call->in[0].dim[0] * depth; s++) {
    profiles_read(&p, (const REAL *)call->in[0].data + s * slice);
    memset(p.slope, 0, (size_t)(p.lines * p.queries) * sizeof *p.slope);
    for (int64_t i = 0; i < BOUNDS * p.queries; i++) {
      int64_t q = i / BOUNDS, side = i % BOUNDS, count = side % 2 ? p.height : p.width;
      double scale = (double)dy[box_of(call, s / depth, s % depth, q) + side] / (double)count;
      soft_slope(&p, (side % 2 ? p.width * p.queries : 0) + q, count, side > 1, scale);
    }
    profiles_write(&p, (REAL *)call->din[0].data + s * slice);
  }
}

const Op OP_ROW(mask_box) = {
    .name = "mask_box",
    .doc = "the box of each slice of each mask",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .saves = {SAVES_IN(0)},
    .saves_at = saves_at,
    .constant_at = constant_at,
    .options = options,
    .options_bytes = sizeof(MaskBoxOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward, .prepare = prepare},
};
