#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/epilogues.h"
#include "kernels/cuda/few_rows.h"
#include "kernels/cuda/narrow.h"
#include "kernels/cuda/noise.h"
#include "kernels/cuda/pair.h"
#include "kernels/cuda/rows.h"
#include "tests/library_rows.h"

#include <vector>

/* Small whole numbers are exact in BF16 too, and so are their sums. */
static float number(int64_t i) {
  return (float)(i * 7 % 23 - 11);
}

namespace {
struct Numbers {
  DType type;
  alignas(16) unsigned char bytes[16384];
  float at(int i) const {
    return type == F32 ? reinterpret_cast<const float *>(bytes)[i]
                       : load(reinterpret_cast<const bf16 *>(bytes) + i);
  }
  void fill(DType as, int count) {
    type = as;
    for (int i = 0; i < count; i++)
      if (as == F32)
        reinterpret_cast<float *>(bytes)[i] = number(i);
      else
        store(reinterpret_cast<bf16 *>(bytes) + i, number(i));
  }
};
} // namespace

static Numbers from, to;
static const DType types[] = {F32, BF16};

static int compare(bool good, int *count) {
  ++*count;
  return !good;
}

/* Into other types, widths and pitches; zeros up to the padded width. */
static int move_rows(int width, int padded, int from_pitch, int to_pitch, int *count) {
  int wrong = 0, rows = 5;
  for (DType a : types)
    for (DType b : types) {
      from.fill(a, rows * from_pitch);
      to.fill(b, rows * to_pitch);
      rows_copy(nullptr, rows, width, padded, Rows{a, from_pitch, from.bytes},
                Rows{b, to_pitch, to.bytes});
      for (int i = 0; i < rows * to_pitch; i++) {
        int row = i / to_pitch, column = i % to_pitch;
        float expected = column < width    ? number(row * from_pitch + column)
                         : column < padded ? 0
                                           : number(i);
        wrong += compare(to.at(i) == expected, count);
      }
    }
  return wrong;
}

/* Added to what is there, in its type; between pitches. */
static int add_rows(int width, int from_pitch, int to_pitch, int *count) {
  int wrong = 0, rows = 5;
  for (DType a : types)
    for (DType b : types) {
      from.fill(a, rows * from_pitch);
      to.fill(b, rows * to_pitch);
      rows_add(nullptr, rows, width, Rows{a, from_pitch, from.bytes}, Rows{b, to_pitch, to.bytes},
               true);
      for (int i = 0; i < rows * to_pitch; i++) {
        int row = i / to_pitch, column = i % to_pitch;
        float more = column < width ? number(row * from_pitch + column) : 0;
        wrong += compare(to.at(i) == number(i) + more, count);
      }
    }
  return wrong;
}

/* Joined, then split: one part added to what is there, the other over it or not wanted. */
template <typename T> static int pairs(DType type, bool wanted, int *count) {
  static Numbers parts[2];
  int wrong = 0, rows = 9, width[2] = {16, 8};
  Pair<T> pair = {{}, {16, 8}, {true, false}};
  to.fill(type, rows * 24);
  for (int k = 0; k < 2; k++) {
    parts[k].fill(type, rows * width[k] + k);
    pair.data[k] = reinterpret_cast<T *>(parts[k].bytes);
  }
  pair_run<T, true>(nullptr, rows, pair, reinterpret_cast<T *>(to.bytes));
  for (int i = 0; i < rows * 24; i++) {
    int row = i / 24, column = i % 24;
    float part = column < 16 ? number(row * 16 + column) : number(row * 8 + column - 16);
    wrong += compare(to.at(i) == part, count);
  }
  to.fill(type, rows * 24);
  if (!wanted) pair.data[1] = NULL;
  pair_run<T, false>(nullptr, rows, pair, reinterpret_cast<T *>(to.bytes));
  for (int i = 0; i < rows * 24; i++) {
    int row = i / 24, column = i % 24;
    bool first = column < 16;
    float there = first ? parts[0].at(row * 16 + column) : parts[1].at(row * 8 + column - 16);
    float before = first ? number(row * 16 + column) : number(row * 8 + column - 16);
    float expected = first ? before + number(i) : wanted ? number(i) : before;
    wrong += compare(there == expected, count);
  }
  return wrong;
}

static int add_biases(int width, int *count) {
  static Numbers bias;
  int wrong = 0, rows = 9;
  for (DType type : types)
    for (int way = 0; way < 4; way++) {
      bool relu = way & 1, added = way & 2;
      to.fill(type, rows * width);
      bias.fill(type, width);
      bias_add(nullptr, type, rows, width, added ? bias.bytes : nullptr, relu, to.bytes);
      for (int i = 0; i < rows * width; i++) {
        float sum = number(i) + (added ? number(i % width) : 0);
        wrong += compare(to.at(i) == (relu && sum < 0 ? 0 : sum), count);
      }
    }
  return wrong;
}

/* Of many values, none of them far from 1, whichever type they are read as. */
static int make_noise(int *count) {
  int wrong = 0, negative = 0, words = 512;
  noise_fill(nullptr, (size_t)words * 4, to.bytes);
  const float *single = reinterpret_cast<const float *>(to.bytes);
  const bf16 *half = reinterpret_cast<const bf16 *>(to.bytes);
  for (int i = 0; i < words; i++) {
    float sizes[] = {fabsf(single[i]), fabsf(load(half + 2 * i)), fabsf(load(half + 2 * i + 1))};
    for (float size : sizes) wrong += compare(size >= 1.f / 128 && size < 2, count);
    negative += single[i] < 0;
    for (int k = 0; k < i; k++) wrong += single[i] == single[k];
  }
  return wrong + compare(negative > words / 3 && negative < 2 * words / 3, count);
}

/* A parameter's copy is read where there is one, and while it is not stale. */
static int take_half_weights(int *count) {
  alignas(64) static float weights[64], other[8];
  alignas(64) static uint16_t half[64];
  alignas(64) static unsigned char scratch[256];
  Call call = {};
  Tensor w = {}, o = {};
  int wrong = 0;
  call.scratch = scratch;
  w.type = o.type = F32;
  w.rank = o.rank = 1;
  w.dim[0] = o.dim[0] = 8;
  w.data = weights + 16;
  o.data = other;
  half_weights_add(weights, 64, half);
  wrong += compare(operand_as(&call, &w, BF16, 0) == scratch, count);
  half_weights_fresh(weights);
  wrong += compare(operand_as(&call, &w, BF16, 0) == half + 16, count);
  wrong += compare(operand_as(&call, &w, F32, 0) == weights + 16, count);
  wrong += compare(operand_as(&call, &o, BF16, 0) == scratch, count);
  half_weights_stale(weights);
  wrong += compare(half_weights_are_stale(weights) && !half_weights_at(weights + 16), count);
  half_weights_fresh(weights);
  half_weights_drop(weights);
  return wrong + compare(operand_as(&call, &w, BF16, 0) == scratch, count);
}

static int sum_columns(int width, int *count) {
  static float scratch[COLUMN_BLOCKS * 32];
  int wrong = 0, rows = 40;
  float sums[32];
  for (DType type : types) {
    from.fill(type, rows * width);
    bias_gradient(nullptr, type, rows, width, from.bytes, scratch, sums);
    for (int c = 0; c < width; c++) {
      float expected = 0;
      for (int row = 0; row < rows; row++) expected += number(row * width + c);
      wrong += compare(sums[c] == expected, count);
    }
    bias_gradient(nullptr, type, 20, width, from.bytes, scratch, sums, true);
    for (int c = 0; c < width; c++) {
      float expected = 0;
      for (int row = 0; row < 60; row++)
        expected += number((row < rows ? row : row - rows) * width + c);
      wrong += compare(sums[c] == expected, count);
    }
  }
  return wrong;
}

/* Into another type, where y is positive or everywhere, with the sums for the bias. */
static int pass_gradients(int width, int *count) {
  static Numbers y;
  static float scratch[COLUMN_BLOCKS * 32];
  int wrong = 0, rows = 21, all = rows * width;
  float sums[32];
  for (DType a : types)
    for (DType b : types)
      for (int relu = 0; relu < 2; relu++) {
        from.fill(a, all);
        to.fill(b, all);
        y.fill(a, all + 8);
        const void *at = relu ? y.bytes + 8 * dtype_bytes(a) : nullptr;
        gradient_pass(nullptr, rows, width, a, at, from.bytes, b, to.bytes, scratch, sums);
        for (int c = 0; c < width; c++) {
          float expected = 0;
          for (int i = c; i < all; i += width) {
            float g = !relu || number(i + 8) > 0 ? number(i) : 0;
            wrong += compare(to.at(i) == g, count);
            expected += g;
          }
          wrong += compare(sums[c] == expected, count);
        }
      }
  return wrong;
}

/* ---- products of few channels ---------------------------------------------------------------- */

namespace {
struct Layer {
  int samples, rows, outs, ins;
  bool adds;
  std::vector<bf16> dy, x, w, dx;
  std::vector<float> dw, db, scratch;
};
} // namespace

static void fill_halves(std::vector<bf16> *all, int count, int64_t first) {
  all->resize((size_t)count);
  for (int i = 0; i < count; i++) store(all->data() + i, number(first + i));
}

static void layer_fill(Layer *l) {
  int rows = l->samples * l->rows, outs = l->samples * l->outs;
  fill_halves(&l->dy, rows * l->outs, 3);
  fill_halves(&l->x, rows * l->ins, 11);
  fill_halves(&l->w, outs * l->ins, 5);
  fill_halves(&l->dx, rows * l->ins, 9);
  l->dw.assign((size_t)(outs * l->ins), l->adds ? 7 : NAN);
  l->db.assign((size_t)outs, l->adds ? 7 : NAN);
  l->scratch.resize(narrow_prepare(l->samples, l->rows, l->ins, l->outs) / sizeof(float));
}

static int layer_dx_wrong(const Layer &l, int *count) {
  int wrong = 0;
  for (int row = 0; row < l.samples * l.rows; row++)
    for (int i = 0; i < l.ins; i++) {
      int w = row / l.rows * l.outs * l.ins, at = row * l.ins + i;
      float sum = l.adds ? number(9 + at) : 0;
      for (int o = 0; o < l.outs; o++)
        sum += number(3 + row * l.outs + o) * number(5 + w + o * l.ins + i);
      float rounded = __bfloat162float(__float2bfloat16(sum));
      wrong += compare(load(&l.dx[(size_t)at]) == rounded, count);
    }
  return wrong;
}

static int layer_sums_wrong(const Layer &l, int *count) {
  int wrong = 0;
  for (int out = 0; out < l.samples * l.outs; out++)
    for (int i = 0; i <= l.ins; i++) { /* the last one: the bias */
      float sum = l.adds ? 7 : 0;
      for (int r = 0; r < l.rows; r++) {
        int row = out / l.outs * l.rows + r;
        float x = i < l.ins ? number(11 + row * l.ins + i) : 1;
        sum += number(3 + row * l.outs + out % l.outs) * x;
      }
      float found = i < l.ins ? l.dw[(size_t)(out * l.ins + i)] : l.db[(size_t)out];
      wrong += compare(found == sum, count);
    }
  return wrong;
}

/* In two blocks, so that each has some tiles. */
static int narrow_layer(int samples, int rows, int outs, int ins, bool adds, int *count) {
  Layer l = {};
  l.samples = samples, l.rows = rows, l.outs = outs, l.ins = ins, l.adds = adds;
  layer_fill(&l);
  NarrowCall c = {};
  c.rows = rows, c.outs = outs, c.ins = ins;
  c.dy = l.dy.data(), c.x = l.x.data(), c.w = l.w.data(), c.dx = l.dx.data();
  c.adds = adds;
  NarrowResult result = {l.dw.data(), l.db.data(), adds, adds};
  narrow_run(nullptr, samples, c, l.scratch.data(), result, 2);
  return layer_dx_wrong(l, count) + layer_sums_wrong(l, count);
}

static int narrow_layers(int *count) {
  return narrow_layer(1, 300, 48, 16, false, count) + narrow_layer(1, 150, 192, 40, true, count) +
         narrow_layer(2, 400, 16, 32, false, count) + narrow_layer(2, 300, 32, 64, true, count);
}

/* A layer's three gradients, each added to what is there or not; whole numbers, so to the bit. */
template <typename T, typename X>
static int few_gradients(DType t, DType xt, int rows, int outs, int ins, bool relu, bool adds,
                         int *count) {
  static Numbers dy, y, x, dx;
  static float w[8192], dw[8192], db[256];
  int wrong = 0;
  dy.fill(t, rows * outs);
  y.fill(t, rows * outs + 3);
  x.fill(xt, rows * ins);
  dx.fill(xt, rows * ins);
  for (int i = 0; i < outs * ins; i++) w[i] = dw[i] = number(i + 2);
  for (int i = 0; i < outs; i++) db[i] = number(i);
  FewRows<T, X> f = {};
  f.rows = rows;
  f.outs = outs;
  f.ins = ins;
  f.dy = reinterpret_cast<T *>(dy.bytes);
  f.y = relu ? reinterpret_cast<T *>(y.bytes) : NULL;
  f.x = reinterpret_cast<X *>(x.bytes);
  f.w = w;
  f.dx = reinterpret_cast<X *>(dx.bytes);
  f.dw = dw;
  f.db = db;
  f.adds_x = f.adds_w = f.adds_b = adds;
  few_rows_run(nullptr, f);
  auto g = [&](int r, int o) {
    return !relu || number(r * outs + o) > 0 ? number(r * outs + o) : 0;
  };
  for (int o = 0; o < outs; o++) {
    float sum = adds ? number(o) : 0;
    for (int r = 0; r < rows; r++) sum += g(r, o);
    wrong += compare(db[o] == sum, count);
    for (int i = 0; i < ins; i++) {
      sum = adds ? number(o * ins + i + 2) : 0;
      for (int r = 0; r < rows; r++) sum += g(r, o) * number(r * ins + i);
      wrong += compare(dw[o * ins + i] == sum, count);
    }
  }
  for (int r = 0; r < rows; r++)
    for (int i = 0; i < ins; i++) {
      float sum = adds ? number(r * ins + i) : 0;
      for (int o = 0; o < outs; o++) sum += g(r, o) * number(o * ins + i + 2);
      float rounded = xt == F32 ? sum : __bfloat162float(__float2bfloat16(sum));
      wrong += compare(dx.at(r * ins + i) == rounded, count);
    }
  return wrong;
}

static int few_of_each(int rows, int outs, int ins, int *count) {
  int wrong = 0;
  for (int relu = 0; relu < 2; relu++)
    for (int adds = 0; adds < 2; adds++)
      wrong += few_gradients<float, float>(F32, F32, rows, outs, ins, relu, adds, count) +
               few_gradients<bf16, bf16>(BF16, BF16, rows, outs, ins, relu, adds, count) +
               few_gradients<float, bf16>(F32, BF16, rows, outs, ins, relu, adds, count) +
               few_gradients<bf16, float>(BF16, F32, rows, outs, ins, relu, adds, count);
  return wrong;
}

int library_rows_wrong(int *count) {
  return move_rows(16, 24, 32, 24, count) + move_rows(5, 8, 5, 8, count) +
         move_rows(3, 3, 7, 9, count) + add_rows(16, 32, 24, count) + add_rows(5, 7, 5, count) +
         add_biases(24, count) + add_biases(7, count) + sum_columns(24, count) +
         sum_columns(7, count) + pass_gradients(24, count) + pass_gradients(7, count) +
         narrow_layers(count) + few_of_each(17, 70, 36, count) + few_of_each(5, 3, 7, count) +
         few_of_each(1, 256, 32, count) + few_of_each(70, 9, 33, count) +
         pairs<float>(F32, true, count) + pairs<bf16>(BF16, false, count) + make_noise(count) +
         take_half_weights(count);
}
