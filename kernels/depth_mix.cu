/* A linear layer along the slices: a thread takes eight planes of the result at eight neighbouring
 * columns, so that a load of x serves eight outputs; the weights, turned and padded to eights, come
 * by broadcasts. dw and db: a block sums part of the columns for a tile of planes, in registers;
 * its parts are added in a fixed order (partials.h). Bound by memory for a few slices. */
#include "kernels/cuda/partials.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/scratch_blocks.h"
#include "kernels/cuda/warp.h"

extern "C" {
#include "kernels/depth_mix.h"
}

static constexpr int THREADS = 128, OUTS = 8, INS = 4;

namespace {
/* to (samples, outs, rest) = w from (samples, ins, rest) + b. w: (ins, outs padded). */
struct Mixing {
  int64_t samples, rest;
  int ins, outs, padded;
  const float *w, *b;
  bool adds; /* to what is in `to` */
};

/* Where the sums of dw and db go: parts of each. NULL: not wanted. */
struct Sums {
  float *w, *b;
};
} // namespace

/* w (rows, columns) as it lies, or turned, with zeros to a width of `padded`. */
static __global__ void __launch_bounds__(THREADS)
    spread_weights(int rows, int columns, bool turned, int padded, const float *w, float *to) {
  int count = (turned ? columns : rows) * padded, width = turned ? rows : columns;
  for (int i = (int)(blockIdx.x * THREADS + threadIdx.x); i < count;
       i += (int)gridDim.x * THREADS) {
    int row = i / padded, column = i % padded;
    to[i] = column >= width ? 0 : turned ? w[column * columns + row] : w[row * columns + column];
  }
}

/* blockIdx.y: a tile of OUTS planes. */
template <int N, typename X, typename Y>
static __global__ void __launch_bounds__(THREADS) mix_planes(Mixing m, const X *from, Y *to) {
  int first = (int)blockIdx.y * OUTS;
  int64_t across = m.rest / N, items = m.samples * across;
  int64_t step = (int64_t)gridDim.x * THREADS;
  for (int64_t item = (int64_t)blockIdx.x * THREADS + threadIdx.x; item < items; item += step) {
    int64_t sample = item / across, column = (item - sample * across) * N;
    const X *x = from + sample * m.ins * m.rest + column;
    float sum[OUTS][N] = {};
    for (int k = 0; k < m.ins; k++) {
      float v[N], w[OUTS];
      load_numbers<N>(x + k * m.rest, v);
      load_unit(m.w + (int64_t)k * m.padded + first, w);
#pragma unroll
      for (int o = 0; o < OUTS; o++)
#pragma unroll
        for (int i = 0; i < N; i++) sum[o][i] += w[o] * v[i];
    }
#pragma unroll
    for (int o = 0; o < OUTS; o++) {
      if (first + o >= m.outs) break;
      Y *y = to + (sample * m.outs + first + o) * m.rest + column;
      float there[N] = {};
      if (m.adds) load_numbers<N>(y, there);
#pragma unroll
      for (int i = 0; i < N; i++) sum[o][i] += there[i] + (m.b ? m.b[first + o] : 0);
      store_numbers<N>(y, sum[o]);
    }
  }
}

/* Of a block's columns the dots of OUTS planes of dy, tile blockIdx.y, with INS of x, tile .z; and,
 * with the first of those, the sums of dy. */
template <int N, typename X, typename Y>
static __global__ void __launch_bounds__(THREADS)
    sum_planes(int64_t samples, int64_t rest, int outs, int ins, const Y *dy, const X *x,
               Sums sums) {
  constexpr int WARPS = THREADS / WARP, COUNT = OUTS * (INS + 1);
  SHARED(float, shared, [WARPS][COUNT]);
  int out = (int)blockIdx.y * OUTS, in = (int)blockIdx.z * INS;
  int64_t across = rest / N, items = samples * across, step = (int64_t)gridDim.x * THREADS;
  float dot[OUTS][INS + 1] = {};
  for (int64_t item = (int64_t)blockIdx.x * THREADS + threadIdx.x; item < items; item += step) {
    int64_t sample = item / across, column = (item - sample * across) * N;
    float v[INS][N] = {}, g[N];
#pragma unroll
    for (int i = 0; i < INS; i++)
      if (sums.w && in + i < ins)
        load_numbers<N>(x + (sample * ins + in + i) * rest + column, v[i]);
#pragma unroll
    for (int o = 0; o < OUTS; o++) {
      if (out + o >= outs) break;
      load_numbers<N>(dy + (sample * outs + out + o) * rest + column, g);
#pragma unroll
      for (int k = 0; k < N; k++) {
#pragma unroll
        for (int i = 0; i < INS; i++) dot[o][i] += g[k] * v[i][k];
        dot[o][INS] += g[k];
      }
    }
  }
  int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
#pragma unroll
  for (int i = 0; i < COUNT; i++) {
    float total = warp_sum(dot[i / (INS + 1)][i % (INS + 1)]);
    if (lane == 0) shared[warp][i] = total;
  }
  __syncthreads();
  for (int i = (int)threadIdx.x; i < COUNT; i += THREADS) {
    float total = 0;
    for (int w = 0; w < WARPS; w++) total += shared[w][i];
    int o = out + i / (INS + 1), k = i % (INS + 1);
    int64_t part = (int64_t)blockIdx.x * outs + o;
    if (o >= outs) continue;
    if (k < INS && in + k < ins && sums.w) sums.w[part * ins + in + k] = total;
    if (k == INS && in == 0 && sums.b) sums.b[part] = total;
  }
}

/* ---- launches -------------------------------------------------------------------------------- */

static int padded_of(int64_t width) {
  return (int)((width + OUTS - 1) / OUTS * OUTS);
}

/* Columns that a thread takes at once. */
static bool in_units(const DepthSizes *s, const void *a, const void *b) {
  return s->rest % ROWS_UNIT == 0 && vectors_fit(0, 0, a, b);
}

/* turned: y from x; else dx from dy. */
static void mix(const Call *call, bool turned, const Tensor *from, const Tensor *to, bool adds) {
  DepthSizes s = depth_sizes(call);
  int outs = (int)(turned ? s.outs : s.ins), ins = (int)(turned ? s.ins : s.outs);
  Mixing m = {
      s.samples, s.rest, ins, outs, padded_of(outs), static_cast<const float *>(call->scratch),
      NULL,      adds};
  if (turned) m.b = static_cast<const float *>(input_data(call, DEPTH_B));
  LAUNCH(spread_weights, grid_blocks(spread_weights, THREADS, 0, ins * m.padded / THREADS + 1),
         THREADS, 0, call->stream, (int)s.outs, (int)s.ins, turned, m.padded,
         data_of<const float>(&call->in[DEPTH_W]), static_cast<float *>(call->scratch));
  with_type(from->type, [&](auto from_zero) {
    with_type(to->type, [&](auto to_zero) {
      using X = decltype(from_zero);
      using Y = decltype(to_zero);
      auto launch = [&](auto kernel, int64_t items) {
        unsigned blocks = grid_blocks(kernel, THREADS, 0, items / THREADS + 1);
        LAUNCH(kernel, dim3(blocks, (unsigned)(m.padded / OUTS)), THREADS, 0, call->stream, m,
               data_of<const X>(from), data_of<Y>(to));
      };
      if (in_units(&s, from->data, to->data))
        launch(mix_planes<ROWS_UNIT, X, Y>, s.samples * s.rest / ROWS_UNIT);
      else
        launch(mix_planes<1, X, Y>, s.samples * s.rest);
    });
  });
}

/* Parts that dw and db are summed in, whatever the alignment of what is summed. */
static int parts_of(const DepthSizes *s) {
  return parts_count(1, s->samples * s->rest / ROWS_UNIT, THREADS);
}

static size_t weights_bytes(const DepthSizes *s) {
  int64_t forward = s->ins * padded_of(s->outs), backward = s->outs * padded_of(s->ins);
  return (size_t)(forward > backward ? forward : backward) * sizeof(float);
}

static size_t sums_bytes(const DepthSizes *s) {
  return (size_t)(parts_of(s) * s->outs * (s->ins + 1)) * sizeof(float);
}

static bool prepare(Call *call, Error *) {
  DepthSizes s = depth_sizes(call);
  call->scratch_bytes = 0;
  scratch_add(&call->scratch_bytes, weights_bytes(&s));
  if (call->backward) scratch_add(&call->scratch_bytes, sums_bytes(&s));
  return true;
}

static void forward(const Call *call) {
  mix(call, true, &call->in[DEPTH_X], &call->out[0], false);
}

static void sum(const Call *call, const DepthSizes *s) {
  const Tensor *dy = &call->dout[0], *x = &call->in[DEPTH_X];
  float *dw = data_of<float>(&call->din[DEPTH_W]), *db = data_of<float>(&call->din[DEPTH_B]);
  int parts = parts_of(s), width = (int)(s->outs * s->ins);
  size_t before = 0;
  scratch_add(&before, weights_bytes(s));
  float *at = reinterpret_cast<float *>(static_cast<char *>(call->scratch) + before);
  Sums sums = {dw ? at : NULL, db ? at + (int64_t)parts * width : NULL};
  dim3 grid((unsigned)parts, (unsigned)(padded_of(s->outs) / OUTS),
            (unsigned)(dw ? (s->ins + INS - 1) / INS : 1));
  with_type(x->type, [&](auto x_zero) {
    with_type(dy->type, [&](auto y_zero) {
      using X = decltype(x_zero);
      using Y = decltype(y_zero);
      auto launch = [&](auto kernel) {
        LAUNCH(kernel, grid, THREADS, 0, call->stream, s->samples, s->rest, (int)s->outs,
               (int)s->ins, data_of<const Y>(dy), data_of<const X>(x), sums);
      };
      if (in_units(s, dy->data, x->data))
        launch(sum_planes<ROWS_UNIT, X, Y>);
      else
        launch(sum_planes<1, X, Y>);
    });
  });
  if (dw) partials_sum(call->stream, 1, parts, width, sums.w, dw, adds_to(call, DEPTH_W));
  if (db) partials_sum(call->stream, 1, parts, (int)s->outs, sums.b, db, adds_to(call, DEPTH_B));
}

static void backward(const Call *call) {
  DepthSizes s = depth_sizes(call);
  const Tensor *dx = &call->din[DEPTH_X];
  if (!call->dout[0].data) {
    zero_gradients(call);
    return;
  }
  if (dx->data) mix(call, false, &call->dout[0], dx, adds_to(call, DEPTH_X));
  if (call->din[DEPTH_W].data || call->din[DEPTH_B].data) sum(call, &s);
}

CUDA_KERNEL(depth_mix) = {.forward = forward,
                          .backward = backward,
                          .prepare = prepare,
                          .bf16 = SAVES_IN(DEPTH_X) | SAVES_OUT(0),
                          .adds = SAVES_IN(DEPTH_W) | SAVES_IN(DEPTH_B) | SAVES_IN(DEPTH_X)};
