#include "kernels/cuda/image_conv.h"
#include "tests/library_rows.h"

#include <math.h>
#include <vector>

namespace {
struct Numbers {
  DType type;
  std::vector<uint4> room;
  Tensor tensor;
  Numbers(DType as, int rank, const int64_t *dim, int turn) : type(as) {
    tensor = tensor_make(as, rank, dim);
    room.resize(tensor_bytes(&tensor) / 16 + 1);
    tensor.data = room.data();
    for (int64_t i = 0; i < tensor_count(&tensor); i++) set(i, (float)((i * 7 + turn) % 23 - 11));
  }
  float at(int64_t i) const {
    return type == F32 ? static_cast<const float *>(tensor.data)[i]
                       : load(static_cast<const bf16 *>(tensor.data) + i);
  }
  void set(int64_t i, float value) {
    if (type == F32)
      static_cast<float *>(tensor.data)[i] = value;
    else
      store(static_cast<bf16 *>(tensor.data) + i, value);
  }
};

struct Shape {
  int64_t w[5], x[5];
  int stride[3];
};
} // namespace

/* Element of x under tap k of voxel v; -1 outside. */
static int64_t under(const Shape *s, const Tensor *y, int64_t voxel, int64_t tap) {
  int64_t at[3], place = voxel / (y->dim[1] * y->dim[2] * y->dim[3]);
  int64_t out[3] = {voxel / (y->dim[2] * y->dim[3]) % y->dim[1], voxel / y->dim[3] % y->dim[2],
                    voxel % y->dim[3]};
  int64_t c = tap % s->w[4], k[3] = {tap / s->w[4] / s->w[3] / s->w[2],
                                     tap / s->w[4] / s->w[3] % s->w[2], tap / s->w[4] % s->w[3]};
  for (int a = 0; a < 3; a++) {
    at[a] = out[a] * s->stride[a] + k[a] - (s->w[1 + a] - 1) / 2;
    if (at[a] < 0 || at[a] >= s->x[1 + a]) return -1;
    place = place * s->x[1 + a] + at[a];
  }
  return place * s->w[4] + c;
}

/* Whole numbers: sums are exact in float, and in BF16 rounded once. */
static bool near(float found, double expected, DType type) {
  return fabs(found - expected) <= (type == BF16 ? fabs(expected) / 256 : 0);
}

static int shape_wrong(const Shape *s, bool biased, DType x_type, DType y_type, int *count) {
  int64_t outs = s->w[0], biases = biased ? outs : 0, taps = s->w[1] * s->w[2] * s->w[3] * s->w[4],
          dim[5] = {s->x[0], 0, 0, 0, outs};
  for (int a = 0; a < 3; a++)
    dim[1 + a] = (s->x[1 + a] + 2 * ((s->w[1 + a] - 1) / 2) - s->w[1 + a]) / s->stride[a] + 1;
  Numbers w(F32, 5, s->w, 3), b(F32, 1, &biases, 5), x(x_type, 5, s->x, 1), y(y_type, 5, dim, 0),
      dy(y_type, 5, dim, 2), dw(F32, 5, s->w, 0);
  ConvOptions options = {{3, {s->stride[0], s->stride[1], s->stride[2]}}};
  Call call = {};
  call.options = &options;
  call.n_in = 3;
  call.in[0] = w.tensor, call.in[1] = b.tensor, call.in[2] = x.tensor;
  call.out[0] = y.tensor, call.dout[0] = dy.tensor, call.din[0] = dw.tensor;
  std::vector<float> scratch(image_conv_scratch(&call) / sizeof(float));
  int wrong = !image_conv_takes(&call);
  image_conv_forward(&call);
  image_conv_weight_gradient(&call, scratch.data());
  int64_t voxels = tensor_rows(&y.tensor);
  for (int64_t o = 0; o < outs; o++) {
    for (int64_t v = 0; v < voxels; v++) {
      double sum = biased ? b.at(o) : 0;
      for (int64_t t = 0; t < taps; t++) {
        int64_t at = under(s, &y.tensor, v, t);
        if (at >= 0) sum += (double)w.at(o * taps + t) * x.at(at);
      }
      wrong += !near(y.at(v * outs + o), sum, y_type);
    }
    for (int64_t t = 0; t < taps; t++) {
      double sum = 0;
      for (int64_t v = 0; v < voxels; v++) {
        int64_t at = under(s, &y.tensor, v, t);
        if (at >= 0) sum += (double)dy.at(v * outs + o) * x.at(at);
      }
      wrong += !near(dw.at(o * taps + t), sum, F32);
    }
  }
  *count += (int)(outs * (voxels + taps));
  return wrong;
}

int image_conv_wrong(int *count) {
  static const Shape shapes[] = {{{16, 3, 3, 3, 1}, {2, 5, 6, 7, 1}, {1, 1, 1}},
                                 {{8, 1, 3, 3, 2}, {2, 3, 6, 9, 2}, {1, 2, 2}},
                                 {{40, 3, 1, 3, 4}, {1, 4, 3, 17, 4}, {2, 1, 1}},
                                 {{64, 1, 3, 3, 1}, {1, 9, 12, 40, 1}, {1, 1, 1}},
                                 {{32, 1, 3, 3, 1}, {3, 1, 13, 21, 1}, {1, 1, 1}},
                                 {{16, 1, 3, 3, 3}, {2, 1, 12, 11, 3}, {1, 2, 2}}};
  static const DType types[] = {F32, BF16};
  int wrong = 0;
  *count = 0;
  for (const Shape &shape : shapes)
    for (DType x : types)
      for (DType y : types) wrong += shape_wrong(&shape, x == y, x, y, count);
  return wrong;
}
