/* GEMM (voxels, Cin) x (Cin, taps*Cout) by tiles of input voxels. Taps along W and the channels of
 * one input voxel lie together in the output, so a tile is moved in runs of sw*Cout numbers. */
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/row_tiles.h"
#include "kernels/options.h"

#include <string.h>

enum { IN_W, IN_B, IN_X };

/* Where the runs of an input voxel start in the output: one for each tap along D and H. */
typedef struct Runs {
  int64_t first;              /* element of y */
  int64_t plane, line;        /* elements from one tap to the next along D, H */
  int64_t planes, lines, run; /* taps along D, H; numbers in a run */
} Runs;

static Runs runs_of(const Call *call, int64_t voxel) {
  const int *stride = ((const ConvTransposeOptions *)call->options)->stride.v;
  const int64_t *in = call->in[IN_X].dim, *out = call->out[0].dim;
  int64_t n = voxel / (in[1] * in[2] * in[3]), d = voxel / (in[2] * in[3]) % in[1],
          h = voxel / in[3] % in[2], w = voxel % in[3];
  Runs r = {.planes = stride[0], .lines = stride[1], .run = stride[2] * out[4]};
  r.line = out[3] * out[4];
  r.plane = out[2] * r.line;
  r.first = (n * out[1] + d * stride[0]) * r.plane + h * stride[1] * r.line + w * r.run;
  return r;
}

INLINE void scatter_as(const Call *call, int64_t first, int64_t count, const float *tile,
                       DType type) {
  const float *restrict b = input_data(call, IN_B);
  void *y = call->out[0].data;
  int64_t outs = call->out[0].dim[4];
  for (int64_t voxel = first; voxel < first + count; voxel++) {
    Runs r = runs_of(call, voxel);
    for (int64_t i = 0; i < r.planes; i++)
      for (int64_t j = 0; j < r.lines; j++) {
        int64_t to = r.first + i * r.plane + j * r.line;
        for (int64_t k = 0; k < r.run; k += outs, tile += outs) {
          int64_t o = 0;
          for (; o + VEC <= outs; o += VEC)
            real_store(y, to + k + o, vec_load(tile + o) + (b ? vec_load(b + o) : (Vec){0}), type);
          for (; o < outs; o++) real_set(y, to + k + o, tile[o] + (b ? b[o] : 0), type);
        }
      }
  }
}

static void scatter(const Call *call, int64_t first, int64_t count, float *tile) {
  TYPED(scatter_as, call->out[0].type, call, first, count, tile);
}

static const float *gather(const Call *call, int64_t first, int64_t count, float *tile) {
  const Tensor *dy = &call->dout[0];
  float *to = tile;
  for (int64_t voxel = first; voxel < first + count; voxel++) {
    Runs r = runs_of(call, voxel);
    for (int64_t i = 0; i < r.planes; i++)
      for (int64_t j = 0; j < r.lines; j++, to += r.run) {
        const void *from = real_at(dy->data, r.first + i * r.plane + j * r.line, dy->type);
        if (dy->type == BF16)
          bf16_to_floats(to, from, r.run);
        else
          memcpy(to, from, (size_t)r.run * sizeof *to);
      }
  }
  return tile;
}

static Dense dense_of(const Call *call) {
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X];
  return (Dense){.call = call,
                 .rows = tensor_rows(x),
                 .ins = w->dim[0],
                 .outs = tensor_count(w) / w->dim[0],
                 .by_input = true,
                 .w = w->data,
                 .x = x->data,
                 .x_type = x->type,
                 .finish = scatter,
                 .gather = gather,
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
  int64_t outs = call->out[0].dim[4];
  for (int64_t o = 0; db && o < outs; o++) {
    double sum = 0;
    for (int64_t column = o; column < dense.outs; column += outs) sum += sums[column];
    db[o] = (float)sum;
  }
}

const Kernel conv_transpose_cpu = {.forward = forward,
                                   .backward = backward,
                                   .prepare = prepare,
                                   .bf16 = SAVES_IN(IN_X) | SAVES_OUT(0)};
