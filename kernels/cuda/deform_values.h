/* The gradient of deform_attention's values from sorted points (deform_sort.h): each element is
 * summed in float by one warp, in a fixed order, and written once.
 *
 * Eight lanes take a voxel's channels, so a warp adds a point to four corners at a time. Where keys
 * are tiles a block sums a tile in shared memory: its threads read points side by side, then each
 * warp adds those that touch its part of the tile. Where keys are cells a warp sums a cell's points
 * at its 8 corners in registers, which go to scratch; voxels then add those of 8 cells. */
#ifndef KERNELS_CUDA_DEFORM_VALUES_H
#define KERNELS_CUDA_DEFORM_VALUES_H

#include "kernels/cuda/deform_sort.h"

static constexpr int VALUES_THREADS = 256, VALUES_WARPS = VALUES_THREADS / WARP;
static constexpr int CORNER_LANES = 8; /* that share a voxel's channels */
static constexpr int TILE_RUNS = 27, OUTSIDE = 8;

namespace {

/* A point as warps add it: weight: attention times the weights along y and x of corners
 * 2 y + x; upper: share of the corners above along z. */
struct Sample {
  float weight[4], upper;
  int token;
};

/* A segment's slice of channels in one level. */
struct Slice {
  int level, head, c0;   /* first channel */
  int64_t sample, above; /* sample * heads + head */
};

/* V channels of dy as they are loaded: they are made float where they are used, or a load would be
 * waited for at once. */
template <typename T, int V, bool FIT> struct Channels { Floats<V> x; };
template <> struct Channels<bf16, 4, true> { uint2 bits; };

} // namespace

/* Channel c and the next of a head's `channels`; beyond, zero. FIT: groups of V are aligned and
 * inside or outside as a whole. */
template <int V, bool FIT, typename T>
static __device__ __forceinline__ Channels<T, V, FIT> channels_load(const T *at, int c,
                                                                    int channels) {
  Channels<T, V, FIT> loaded = {};
  if constexpr (V == 4 && FIT) {
    if (c >= channels) return loaded;
    if constexpr (sizeof(T) == 4)
      loaded.x = load_vector(at + c);
    else
      loaded.bits = *reinterpret_cast<const uint2 *>(at + c);
  } else {
#pragma unroll
    for (int i = 0; i < V; i++)
      if (c + i < channels) loaded.x.v[i] = load(at + c + i);
  }
  return loaded;
}

template <typename T, int V, bool FIT>
static __device__ __forceinline__ Floats<V> channels_value(const Channels<T, V, FIT> &loaded) {
  if constexpr (V == 4 && FIT && sizeof(T) == 2) {
    uint2 bits = loaded.bits;
    return {{__uint_as_float(bits.x << 16), __uint_as_float(bits.x & 0xffff0000u),
             __uint_as_float(bits.y << 16), __uint_as_float(bits.y & 0xffff0000u)}};
  } else
    return loaded.x;
}

template <int V> static __device__ __forceinline__ Floats<V> sums_load(const float *at) {
  if constexpr (V == 4)
    return load_vector(at);
  else
    return {{*at}};
}
template <int V> static __device__ __forceinline__ void sums_store(float *at, const Floats<V> &x) {
  if constexpr (V == 4)
    store_vector(at, x);
  else
    *at = x.v[0];
}

/* Entry `entry` of the segment: its sample, and where it lies. */
static __device__ __forceinline__ Sample sample_read(const Deform &p, const Sort &s,
                                                     const Slice &slice, int entry,
                                                     Position *position) {
  const int *entries = s.entries + (slice.above * p.levels + slice.level) * s.segment;
  int point = entries[entry], token = point / p.points;
  int64_t head = (slice.sample * p.tokens + token) * p.heads + slice.head;
  int64_t at = (head * p.levels + slice.level) * p.points + (point - token * p.points);
  *position = position_at(s, slice.level, s.places[token], p.offsets + 3 * at);
  float2 softmax = s.softmax[head];
  float a = expf(p.logits[at] - softmax.x) * softmax.y;
  const float *f = position->fraction;
  float low = a * (1 - f[1]), high = a * f[1];
  return {{low * (1 - f[2]), low * f[2], high * (1 - f[2]), high * f[2]}, f[0], token};
}

/* dy of the segment's head and slice, at the first token. */
template <typename T>
static __device__ __forceinline__ const T *slice_dy(const Deform &p, const Slice &slice,
                                                    const T *dy) {
  return dy + slice.sample * p.tokens * p.width + slice.head * p.channels + slice.c0;
}

/* ---- tiles ----------------------------------------------------------------------------------- */

namespace {

struct Runs {
  int start[TILE_RUNS], before[TILE_RUNS + 1]; /* entries of the segment; of the tile */
};

/* A batch of samples. place: bits of `upper`; the token; the owners of its corners 4 z + 2 y + x in
 * bits 4 k, a part of the tile, or OUTSIDE; where its corner 0 lies in the tile. touched: a bit for
 * each part. visits: of each part, the samples that touch it. With 64 KiB of sums three blocks fit
 * a multiprocessor. */
struct Batch {
  float4 weight[VALUES_THREADS];
  uint4 place[VALUES_THREADS];
  unsigned char touched[VALUES_THREADS], visits[VALUES_WARPS][VALUES_THREADS];
};
static_assert(VALUES_THREADS <= 256 && sizeof(Batch) + sizeof(Runs) + (65 << 10) <= 76 << 10, "");

struct Tile {
  Slice slice;
  int at[3]; /* among the level's tiles */
};

} // namespace

static __device__ __forceinline__ Tile tile_find(const Deform &p, const Sort &s) {
  Item item = item_find(p, s, SORT_TILES, blockIdx.x);
  const int *tiles = s.level[item.level].tiles;
  int64_t slice =
      item.at / p.heads; /* heads, which lie side by side in memory, one after another */
  int head = (int)(item.at - slice * p.heads), c0 = (int)(slice % s.slices) * s.wide;
  int64_t x = slice / s.slices, y = x / tiles[2], z = y / tiles[1], sample = z / tiles[0];
  return {{item.level, head, c0, sample, sample * p.heads + head},
          {(int)(z - sample * tiles[0]), (int)(y - z * tiles[1]), (int)(x - y * tiles[2])}};
}

/* The tile's own points, in the 8 keys of those that stay in it or go on to the next ones, and of
 * the tiles before it those that reach it. By one warp. */
static __device__ __forceinline__ void runs_place(const Sort &s, const Tile &tile, Runs *runs) {
  int lane = (int)threadIdx.x % WARP, rest = lane, key = 0, next = 0;
  const SortLevel &level = s.level[tile.slice.level];
  bool any = lane < TILE_RUNS;
#pragma unroll
  for (int a = 0; a < 3; a++) { /* along an axis: stays, goes on, comes from the tile before */
    int way = rest % 3, at = tile.at[a] - (way == 2);
    rest /= 3;
    any = any && at >= 0;
    key = key * level.tiles[a] + at;
    next = 2 * next + (way > 0);
  }
  Run run = any ? run_of(s, level, tile.slice.above, 8 * key + next, 8 * key + next) : Run{0, 0};
  int count = run.end - run.start, sum = count;
#pragma unroll
  for (int step = 1; step < WARP; step *= 2) {
    int other = __shfl_up_sync(WARP_ALL, sum, step);
    if (lane >= step) sum += other;
  }
  if (lane < TILE_RUNS) runs->start[lane] = run.start;
  if (lane <= TILE_RUNS) runs->before[lane] = sum - count;
}

/* Entry number i of the tile in its segment. */
static __device__ __forceinline__ int runs_entry(const Runs &runs, int i) {
  int run = 0;
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
    if (run + step < TILE_RUNS && runs.before[run + step] <= i) run += step;
  return runs.start[run] + i - runs.before[run];
}

/* Sample number i of the tile into place `threadIdx.x` of the batch. */
static __device__ __forceinline__ void batch_place(const Deform &p, const Sort &s, const Tile &tile,
                                                   const Runs &runs, int i, Batch *batch) {
  const SortLevel &level = s.level[tile.slice.level];
  int t = (int)threadIdx.x, voxel = 0;
  unsigned owner[3][2], owners = 0, touched = 0;
  Position position;
  Sample sample = sample_read(p, s, tile.slice, runs_entry(runs, i), &position);
#pragma unroll
  for (int a = 0; a < 3; a++) {
    int at = position.cell[a] - (tile.at[a] << level.shift[a]),
        parts = level.shift[a] - level.sub[a];
    voxel = voxel * (1 << level.shift[a]) + at;
#pragma unroll
    for (int side = 0; side < 2; side++)
      owner[a][side] =
          (unsigned)(at + side) >> level.shift[a] ? OUTSIDE : (at + side) >> level.sub[a];
#pragma unroll
    for (int before = 0; before < a; before++)
#pragma unroll
      for (int side = 0; side < 2; side++) /* OUTSIDE only grows */
        owner[before][side] <<= parts;
  }
#pragma unroll
  for (int k = 0; k < 8; k++) {
    unsigned part = owner[0][k >> 2] | owner[1][k >> 1 & 1] | owner[2][k & 1];
    owners |= min(part, (unsigned)OUTSIDE) << 4 * k;
    if (part < OUTSIDE) touched |= 1u << part;
  }
  batch->weight[t] =
      make_float4(sample.weight[0], sample.weight[1], sample.weight[2], sample.weight[3]);
  batch->place[t] =
      make_uint4(__float_as_uint(sample.upper), (unsigned)sample.token, owners, (unsigned)voxel);
  batch->touched[t] = (unsigned char)touched;
}

template <int V>
static __device__ __forceinline__ void corner_add(float *at, const Floats<V> &dy, float weight) {
  Floats<V> sum = sums_load<V>(at);
#pragma unroll
  for (int i = 0; i < V; i++) sum.v[i] += weight * dy.v[i];
  sums_store<V>(at, sum);
}

namespace {
/* A sample for a lane: its channels of dy, the weights of its corners below and above along z,
 * where the lower one lies; apart: four bits a corner, 0 where this warp's part owns it. */
template <typename T, int V, bool FIT> struct Visit {
  Channels<T, V, FIT> dy;
  float low, high;
  unsigned apart;
  int at;
};
} // namespace

/* Visit number `index` of `count`; past the last one nothing is owned. */
template <typename T, int V, bool FIT>
static __device__ __forceinline__ Visit<T, V, FIT>
visit_make(const Batch &batch, int index, int count, const T *dy, int width, int channels) {
  int lane = (int)threadIdx.x % WARP, part = (int)threadIdx.x / WARP;
  int i = batch.visits[part][min(index, count - 1)];
  uint4 place = batch.place[i];
  float weight = reinterpret_cast<const float *>(batch.weight)[4 * i + lane / CORNER_LANES];
  float high = weight * __uint_as_float(place.x);
  const T *from = dy + (int64_t)(int)place.y * width;
  return {channels_load<V, FIT>(from, lane % CORNER_LANES * V, channels), weight - high, high,
          index < count ? place.z ^ (unsigned)part * 0x11111111u : WARP_ALL,
          (int)place.w * V * CORNER_LANES};
}

/* Lists what of the batch's first `count` samples touches this warp's part: how many do. */
static __device__ __forceinline__ int visits_list(Batch *batch, int count) {
  int lane = (int)threadIdx.x % WARP, part = (int)threadIdx.x / WARP, found = 0;
  for (int first = 0; first < count; first += WARP) {
    bool mine = first + lane < count && batch->touched[first + lane] >> part & 1;
    unsigned all = __ballot_sync(WARP_ALL, mine);
    if (mine)
      batch->visits[part][found + __popc(all & ((1u << lane) - 1))] = (unsigned char)(first + lane);
    found += __popc(all);
  }
  __syncwarp();
  return found;
}

/* Adds what of the batch lies in this warp's part of the tile, with several loads of dy on their
 * way. Other lanes add to the same voxel in the next visit. */
template <typename T, int V, bool FIT>
static __device__ __forceinline__ void batch_add(const SortLevel &level, const Batch &batch,
                                                 int count, const T *dy, int width, int channels,
                                                 float *sums) {
  constexpr int WIDE = V * CORNER_LANES, AHEAD = 4;
  int lane = (int)threadIdx.x % WARP, corner = lane / CORNER_LANES;
  unsigned below = 15u << 4 * corner, above = below << 16;
  float *lower =
      sums + ((corner >> 1 << level.shift[2]) + (corner & 1)) * WIDE + lane % CORNER_LANES * V;
  float *upper = lower + (WIDE << (level.shift[1] + level.shift[2]));
  if (count == 0) return;
  Visit<T, V, FIT> next[AHEAD];
#pragma unroll
  for (int i = 0; i < AHEAD; i++)
    next[i] = visit_make<T, V, FIT>(batch, i, count, dy, width, channels);
  for (int first = 0; first < count; first += AHEAD)
#pragma unroll
    for (int i = 0; i < AHEAD; i++) {
      Visit<T, V, FIT> now = next[i];
      next[i] = visit_make<T, V, FIT>(batch, first + AHEAD + i, count, dy, width, channels);
      Floats<V> x = channels_value<T, V, FIT>(now.dy);
      if (!(now.apart & below)) corner_add<V>(lower + now.at, x, now.low);
      if (!(now.apart & above)) corner_add<V>(upper + now.at, x, now.high);
      __syncwarp();
    }
}

/* Writes the tile's voxels, N channels at a time. */
template <typename T, int V, int N>
static __device__ __forceinline__ void tile_store(const Deform &p, const SortLevel &level,
                                                  const Tile &tile, const float *sums) {
  constexpr int WIDE = V * CORNER_LANES, PIECES = WIDE / N;
  int voxels = 1 << (level.shift[0] + level.shift[1] + level.shift[2]);
  T *out = static_cast<T *>(level.out) + tile.slice.head * p.channels + tile.slice.c0;
  for (int item = (int)threadIdx.x; item < voxels * PIECES; item += VALUES_THREADS) {
    int c = item % PIECES * N, voxel = item / PIECES, rest = voxel, at[3];
    bool inside = tile.slice.c0 + c < p.channels;
#pragma unroll
    for (int a = 2; a >= 0; a--) {
      at[a] = (tile.at[a] << level.shift[a]) + (rest & ((1 << level.shift[a]) - 1));
      rest >>= level.shift[a];
      inside = inside && at[a] < level.size[a];
    }
    if (!inside) continue;
    int64_t row = tile.slice.sample * level.size[0] + at[0];
    row = (row * level.size[1] + at[1]) * level.size[2] + at[2];
    Floats<N> x;
    if constexpr (N == 1)
      x.v[0] = sums[voxel * WIDE + c];
    else
#pragma unroll
      for (int i = 0; i < N; i += 4) {
        Floats<4> four = load_vector(sums + voxel * WIDE + c + i);
#pragma unroll
        for (int k = 0; k < 4; k++) x.v[i + k] = four.v[k];
      }
    store_lanes<N>(out + row * p.width + c, x);
  }
}

template <typename T, int V, bool FIT>
static __global__ void __launch_bounds__(VALUES_THREADS, 3)
    values_tiles(const Deform p, const Sort s, const T *dy) {
  DYNAMIC_SHARED(float, sums);
  SHARED(Runs, runs);
  SHARED(Batch, batch);
  Tile tile = tile_find(p, s);
  const SortLevel &level = s.level[tile.slice.level];
  int voxels = 1 << (level.shift[0] + level.shift[1] + level.shift[2]);
  if (threadIdx.x < WARP) runs_place(s, tile, &runs);
  for (int i = (int)threadIdx.x; i < voxels * V * CORNER_LANES / 4; i += VALUES_THREADS)
    store_vector(sums + 4 * i, Floats<4>{});
  __syncthreads();
  dy = slice_dy(p, tile.slice, dy);
  for (int first = 0, all = runs.before[TILE_RUNS]; first < all; first += VALUES_THREADS) {
    int count = min(all - first, VALUES_THREADS);
    if ((int)threadIdx.x < count) batch_place(p, s, tile, runs, first + (int)threadIdx.x, &batch);
    __syncthreads();
    batch_add<T, V, FIT>(level, batch, visits_list(&batch, count), dy, p.width,
                         p.channels - tile.slice.c0, sums);
    __syncthreads();
  }
  tile_store<T, V, FIT ? Lanes<T>::COUNT : 1>(p, level, tile, sums);
}

/* ---- cells ----------------------------------------------------------------------------------- */

namespace {
template <int V> struct CornerSums { Floats<V> low, high; }; /* along z, of a lane's corner */
} // namespace

/* Adds this lane's sample to the warp's batch, and the batch's `count` to the sums. */
template <typename T, int V, bool FIT>
static __device__ __forceinline__ void cell_add(const Sample &sample, Sample *batch, int count,
                                                const T *dy, int width, int channels,
                                                CornerSums<V> *sums) {
  constexpr int TOGETHER = FIT ? 8 : 2; /* loads in flight */
  int lane = (int)threadIdx.x % WARP, c = lane % CORNER_LANES * V, corner = lane / CORNER_LANES;
  batch[lane] = sample;
  __syncwarp();
  for (int first = 0; first < count; first += TOGETHER) {
    Channels<T, V, FIT> loaded[TOGETHER];
#pragma unroll
    for (int i = 0; i < TOGETHER; i++)
      loaded[i] = channels_load<V, FIT>(dy + (int64_t)batch[first + i].token * width, c, channels);
#pragma unroll
    for (int i = 0; i < TOGETHER; i++) {
      float weight = batch[first + i].weight[corner], high = weight * batch[first + i].upper;
      Floats<V> x = channels_value<T, V, FIT>(loaded[i]);
#pragma unroll
      for (int v = 0; v < V; v++) {
        sums->low.v[v] += (weight - high) * x.v[v];
        sums->high.v[v] += high * x.v[v];
      }
    }
  }
  __syncwarp();
}

/* A warp takes a cell. Lanes past its last entry repeat that with weight 0. */
template <typename T, int V, bool FIT>
static __global__ void __launch_bounds__(VALUES_THREADS)
    values_cells(const Deform p, const Sort s, const T *dy) {
  SHARED(Sample, batches, [VALUES_WARPS][WARP]);
  int64_t warp = (int64_t)blockIdx.x * VALUES_WARPS + threadIdx.x / WARP;
  if (warp >= s.total[SORT_CELLS]) return;
  Item item = item_find(p, s, SORT_CELLS, warp);
  const SortLevel &level = s.level[item.level];
  int64_t head = item.at / level.keys;
  int cell = (int)(item.at - head * level.keys), lane = (int)threadIdx.x % WARP;
  int64_t above = head / s.slices, batch = above / p.heads;
  Slice slice = {item.level, (int)(above - batch * p.heads),
                 (int)(head - above * s.slices) * s.wide, batch, above};
  Run run = run_of(s, level, above, cell, cell);
  CornerSums<V> sums = {};
  dy = slice_dy(p, slice, dy);
  for (int first = run.start; first < run.end; first += WARP) {
    Position position;
    Sample sample = sample_read(p, s, slice, min(first + lane, run.end - 1), &position);
    if (first + lane >= run.end) sample = {{0, 0, 0, 0}, 0, sample.token};
    cell_add<T, V, FIT>(sample, batches[threadIdx.x / WARP], min(run.end - first, WARP), dy,
                        p.width, p.channels - slice.c0, &sums);
  }
  float *out = s.corners + (level.corners + above * level.keys + cell) * 8 * s.slices * s.wide +
               lane / CORNER_LANES * s.slices * s.wide + slice.c0 + lane % CORNER_LANES * V;
  sums_store<V>(out, sums.low);
  sums_store<V>(out + 4 * s.slices * s.wide, sums.high);
}

/* N channels of a voxel from the corners of the 8 cells around it. */
template <typename T, int N>
static __global__ void __launch_bounds__(VALUES_THREADS)
    values_voxels(const Deform p, const Sort s) {
  int64_t step = (int64_t)gridDim.x * VALUES_THREADS;
  for (int64_t i = (int64_t)blockIdx.x * VALUES_THREADS + threadIdx.x; i < s.total[SORT_VOXELS] / N;
       i += step) {
    Item item = item_find(p, s, SORT_VOXELS, i * N);
    const SortLevel &level = s.level[item.level];
    const int *size = level.size;
    int64_t row = item.at / p.width, sample = row / size[2] / size[1] / size[0];
    int e = (int)(item.at - row * p.width), head = e / p.channels;
    int z = (int)(row / size[2] / size[1] % size[0]), y = (int)(row / size[2] % size[1]);
    int x = (int)(row % size[2]), wide = s.slices * s.wide;
    const float *from = s.corners +
                        (level.corners + (sample * p.heads + head) * level.keys) * 8 * wide + e -
                        head * p.channels;
    Floats<N> sum = {};
#pragma unroll
    for (int k = 0; k < 8; k++) {
      int cell = cell_key(level, z - (k >> 2), y - (k >> 1 & 1), x - (k & 1));
#pragma unroll
      for (int n = 0; n < N; n++) sum.v[n] += from[((int64_t)cell * 8 + k) * wide + n];
    }
    store_lanes<N>(static_cast<T *>(level.out) + item.at, sum);
  }
}

/* ---- on the host ----------------------------------------------------------------------------- */

/* Channels that are summed together: eight lanes' share. */
static inline int values_wide(int channels) {
  return channels <= CORNER_LANES ? CORNER_LANES : 4 * CORNER_LANES;
}

static inline size_t values_shared(const Deform &p, const Sort &s) {
  int most = 0;
  for (int l = 0; l < p.levels; l++) {
    const int *shift = s.level[l].shift;
    if (!s.level[l].cells) most = max(most, 1 << (shift[0] + shift[1] + shift[2]));
  }
  return (size_t)most * s.wide * sizeof(float);
}

/* Calls launch(V, FIT), constants of the kernels. fit: a head's channels are whole vectors. */
template <typename F> static void values_choose(const Sort &s, bool fit, F launch) {
  std::integral_constant<int, 1> one;
  std::integral_constant<int, 4> four;
  if (s.wide == CORNER_LANES)
    fit ? launch(one, std::true_type()) : launch(one, std::false_type());
  else
    fit ? launch(four, std::true_type()) : launch(four, std::false_type());
}

template <typename T> static void values_allow(const Deform &p, const Sort &s) {
  for (int fit = 0; fit < 2; fit++)
    values_choose(s, fit, [&](auto v, auto fits) {
      allow_shared(values_tiles<T, decltype(v)::value, decltype(fits)::value>, values_shared(p, s));
    });
}

template <typename T, int V, bool FIT>
static void values_launch(const Call *call, const Deform &p, const Sort &s) {
  constexpr int N = FIT ? Lanes<T>::COUNT : 1;
  const T *dy = data_of<const T>(&call->dout[0]);
  int64_t cells = (s.total[SORT_CELLS] + VALUES_WARPS - 1) / VALUES_WARPS;
  int64_t voxels = s.total[SORT_VOXELS] / N / VALUES_THREADS + 1;
  if (s.total[SORT_TILES])
    LAUNCH((values_tiles<T, V, FIT>), (unsigned)s.total[SORT_TILES], VALUES_THREADS,
           values_shared(p, s), call->stream, p, s, dy);
  if (!cells) return;
  LAUNCH((values_cells<T, V, FIT>), (unsigned)cells, VALUES_THREADS, 0, call->stream, p, s, dy);
  LAUNCH((values_voxels<T, N>), grid_blocks(values_voxels<T, N>, VALUES_THREADS, 0, voxels),
         VALUES_THREADS, 0, call->stream, p, s);
}

#endif
