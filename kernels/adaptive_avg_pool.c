/* Average over the cells of a grid of `size`, whatever x's (PyTorch's rule): along each axis output
 * i is the mean of voxels floor(i in/out) to ceil((i + 1) in/out) - 1. Cells overlap where out does
 * not divide in; size 1,1,1 is the mean of the whole map. x (N, D, H, W, C) to (N, size, C); 2D is
 * D = 1, size 1,H,W. Bound by memory. */
#include "kernels/cells.h"
#include "kernels/options.h"

#include <string.h>

static const Option options[] = {{"size", OPTION_INTS, offsetof(AdaptivePoolOptions, size), 0, 1,
                                  4096, NULL, "1,1,1", "output sizes D, H, W"},
                                 {0}};

static bool shape(Call *call, Error *error) {
  const AdaptivePoolOptions *o = call->options;
  const Tensor *x = &call->in[0];
  if (x->rank != 5)
    return fail(error, "adaptive_avg_pool: input has 5 axes (N, D, H, W, C), found %s",
                tensor_shape_text(x));
  if (o->size.count != 3)
    return fail(error, "adaptive_avg_pool: size has 3 numbers (D, H, W), found %d", o->size.count);
  call->out[0] = tensor_make(x->type, 5, x->dim);
  for (int a = 0; a < 3; a++) call->out[0].dim[1 + a] = o->size.v[a];
  return true;
}

/* Of output row `row`: its sample, and along each axis the voxels [first, end). */
typedef struct Cell {
  int64_t sample, first[3], end[3];
} Cell;

static Cell cell_of(const Call *call, int64_t row) {
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  int64_t at[3] = {row / (out[2] * out[3]) % out[1], row / out[3] % out[2], row % out[3]};
  Cell cell = {.sample = row / (out[1] * out[2] * out[3])};
  for (int a = 0; a < 3; a++) {
    cell.first[a] = cell_first(at[a], in[1 + a], out[1 + a]);
    cell.end[a] = cell_end(at[a], in[1 + a], out[1 + a]);
  }
  return cell;
}

static int64_t cell_voxels(const Cell *cell) {
  int64_t voxels = 1;
  for (int a = 0; a < 3; a++) voxels *= cell->end[a] - cell->first[a];
  return voxels;
}

/* The input row of voxel `tap` of the cell. */
static int64_t cell_row(const Call *call, const Cell *cell, int64_t tap) {
  const int64_t *in = call->in[0].dim;
  int64_t height = cell->end[1] - cell->first[1], width = cell->end[2] - cell->first[2];
  int64_t z = cell->first[0] + tap / (height * width), y = cell->first[1] + tap / width % height;
  return ((cell->sample * in[1] + z) * in[2] + y) * in[3] + cell->first[2] + tap % width;
}

static void forward(const Call *call) {
  const REAL *x = call->in[0].data;
  REAL *y = call->out[0].data;
  int64_t channels = tensor_last(&call->in[0]);
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++) {
    Cell cell = cell_of(call, row);
    for (int64_t c = 0; c < channels; c++) {
      double sum = 0;
      for (int64_t t = 0; t < cell_voxels(&cell); t++)
        sum += x[cell_row(call, &cell, t) * channels + c];
      y[row * channels + c] = (REAL)(sum / (double)cell_voxels(&cell));
    }
  }
}

static void backward(const Call *call) {
  const REAL *dy = call->dout[0].data;
  REAL *dx = call->din[0].data;
  int64_t channels = tensor_last(&call->in[0]);
  if (!dx) return;
  memset(dx, 0, tensor_bytes(&call->in[0]));
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++) {
    Cell cell = cell_of(call, row);
    for (int64_t t = 0; t < cell_voxels(&cell); t++)
      for (int64_t c = 0; c < channels; c++)
        dx[cell_row(call, &cell, t) * channels + c] +=
            dy[row * channels + c] / (REAL)cell_voxels(&cell);
  }
}

const Op OP_ROW(adaptive_avg_pool) = {
    .name = "adaptive_avg_pool",
    .doc = "average pooling to a grid of any size; 1,1,1 pools the whole map",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .options = options,
    .options_bytes = sizeof(AdaptivePoolOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
