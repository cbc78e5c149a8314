/* The sample points of deform_attention, sorted by where they lie: what the gradient of the values
 * is summed from (deform_values.h).
 *
 * A segment is what one head of one sample draws from one level: tokens * points points, of which
 * those near the level are sorted by a key. Where a level has few points for its size, a key is a
 * tile of voxels and, for each axis, whether the point's upper corners lie in the next tile: what
 * touches a tile is then 27 runs of keys, and no point is listed twice. Where it has many, a key is
 * the cell between 8 voxels.
 *
 * It is a counting sort that keeps the order of points with one key, so that sums over them have
 * the same bits each time: tokens are cut into chunks, each key has a counter for each chunk, key
 * by key, whose prefix sums are where the chunk's points go; one warp places a chunk's points in
 * their order. Only whole numbers are added atomically. */
#ifndef KERNELS_CUDA_DEFORM_SORT_H
#define KERNELS_CUDA_DEFORM_SORT_H

#include "kernels/cuda/deform_bricks.h"

static constexpr int SORT_THREADS = 256;
#ifdef CUDA_EMULATOR /* so that small tests see several of everything */
static constexpr int SORT_EACH = 4, SORT_CHUNK = 64, SORT_DENSE = 1;
#else
static constexpr int SORT_EACH = 16;    /* counters of a thread in a scan */
static constexpr int SORT_CHUNK = 2048; /* points of a chunk at least */
static constexpr int SORT_DENSE = 12;   /* points a cell from which cells are keys */
#endif
static constexpr int SORT_PART = SORT_EACH * SORT_THREADS;
static constexpr int SORT_COUNTERS = 4; /* counters a point at most, if there are enough points */

namespace {

/* What kernels walk over: their work is numbered from the last level, whose items are the longest,
 * to the first. */
enum SortStep { SORT_FILL, SORT_SCAN, SORT_TILES, SORT_CELLS, SORT_VOXELS, SORT_STEPS };

struct SortLevel {
  int size[3];
  bool still[3];                  /* as DeformLevel's */
  bool cells;                     /* what keys are */
  int shift[3], sub[3], tiles[3]; /* tiles of 2^shift voxels, of parts of 2^sub; their number */
  int keys, chunks, chunk;        /* chunks of so many tokens */
  int64_t counters, row;          /* the first counter; counters of a segment, a multiple of 4 */
  int64_t corners;                /* of cells: the first of their sums, in cells */
  int64_t first[SORT_STEPS];
  void *out; /* the values' gradient; NULL: not wanted */
};

/* A reference point along an axis in voxels of a level: a whole number and a rest. */
struct Reference {
  int whole;
  float rest;
};

struct Sort {
  int segment, axes; /* points of a segment; references of a level */
  int slices, wide;  /* a head's channels are summed in slices; their width */
  int64_t counted;   /* counters of all levels */
  int64_t total[SORT_STEPS];
  int *counters, *parts, *entries; /* entries: indices of points within their segment */
  int4 *places;                    /* of tokens: their references along z, y, x */
  Reference *references;           /* level by level */
  float2 *softmax;                 /* of each token and head: largest logit, 1 / sum */
  float *corners;                  /* sums at the 8 corners of cells */
  size_t bytes;
  SortLevel level[DEFORM_LEVELS];
};

/* Where a point lies in a level: the cell above voxel `cell`; near: a corner of it is inside. */
struct Position {
  int cell[3];
  float fraction[3];
  bool near;
};

/* An item of a step: of a level, number `at`. */
struct Item {
  int level;
  int64_t at;
};

} // namespace

static __device__ __forceinline__ Item item_find(const Deform &p, const Sort &s, SortStep step,
                                                 int64_t index) {
  int l = p.levels - 1;
  while (l > 0 && index >= s.level[l - 1].first[step]) l--;
  return {l, index - s.level[l].first[step]};
}

static __device__ __forceinline__ Position position_at(const Sort &s, int l, const int4 &place,
                                                       const float *offset) {
  const SortLevel &level = s.level[l];
  const int at[3] = {place.x, place.y, place.z};
  Position position;
  position.near = true;
#pragma unroll
  for (int a = 0; a < 3; a++) {
    Reference r = s.references[l * s.axes + at[a]];
    Along here = along(r.whole, r.rest, level.still[a] ? 0 : offset[a], level.size[a]);
    position.cell[a] = here.cell;
    position.fraction[a] = here.fraction;
    position.near = position.near && here.cell >= -1 && here.cell < level.size[a];
  }
  return position;
}

static __device__ __forceinline__ int cell_key(const SortLevel &level, int z, int y, int x) {
  return ((z + 1) * (level.size[1] + 1) + y + 1) * (level.size[2] + 1) + x + 1;
}

/* Negative: the point is far from the level. */
static __device__ __forceinline__ int key_of(const SortLevel &level, const Position &p) {
  if (!p.near) return -1;
  if (level.cells) return cell_key(level, p.cell[0], p.cell[1], p.cell[2]);
  int tile = 0, next = 0;
#pragma unroll
  for (int a = 0; a < 3; a++) {
    int at = p.cell[a], last = (1 << level.shift[a]) - 1;
    tile = tile * level.tiles[a] + (max(at, 0) >> level.shift[a]);
    next = 2 * next + (at >= 0 && (at & last) == last && at + 1 < level.size[a]);
  }
  return 8 * tile + next;
}

/* After sort_fill: the entries of the keys [first, last] of a segment are [start, end). */
namespace {
struct Run {
  int start, end;
};
} // namespace
static __device__ __forceinline__ Run run_of(const Sort &s, const SortLevel &level, int64_t head,
                                             int first, int last) {
  const int *counter = s.counters + level.counters + head * level.row;
  return {first ? counter[(int64_t)first * level.chunks - 1] : 0,
          counter[((int64_t)last + 1) * level.chunks - 1]};
}

/* ---- the steps: `head` counts sample * heads + head ------------------------------------------ */

static __device__ __forceinline__ int4 place_make(const Deform &p, int64_t token) {
  int g = 0, first = 0;
  for (; g + 1 < p.grids && token >= p.grid[g + 1].first_token; g++)
    first += p.grid[g].size[0] + p.grid[g].size[1] + p.grid[g].size[2];
  const int *size = p.grid[g].size;
  int64_t at = token - p.grid[g].first_token;
  return make_int4(first + (int)(at / size[2] / size[1]),
                   first + size[0] + (int)(at / size[2] % size[1]),
                   first + size[0] + size[1] + (int)(at % size[2]), 0);
}

static __device__ __forceinline__ Reference reference_at(const Deform &p, int l, int at) {
  Reference r = {};
  for (int g = 0; g < p.grids; g++)
    for (int a = 0; a < 3; a++) {
      int grid = p.grid[g].size[a];
      if (at >= 0 && at < grid) reference_make(at, p.level[l].size[a], grid, &r.whole, &r.rest);
      at -= grid;
    }
  return r;
}

/* Counters to zero, tables of tokens and references. */
static __global__ void __launch_bounds__(SORT_THREADS) sort_start(const Deform p, const Sort s) {
  int64_t first = (int64_t)blockIdx.x * SORT_THREADS + threadIdx.x;
  int64_t step = (int64_t)gridDim.x * SORT_THREADS;
  for (int64_t i = first; i < s.counted / 4; i += step)
    reinterpret_cast<int4 *>(s.counters)[i] = make_int4(0, 0, 0, 0);
  for (int64_t i = first; i < p.tokens; i += step) s.places[i] = place_make(p, i);
  for (int64_t i = first; i < p.levels * s.axes; i += step)
    s.references[i] = reference_at(p, (int)(i / s.axes), (int)(i % s.axes));
}

/* A warp takes a token. */
static __global__ void __launch_bounds__(SORT_THREADS)
    sort_count(const Deform p, const Sort s, int64_t rows) {
  int lane = (int)threadIdx.x % WARP, samples = p.levels * p.points;
  float of_head = 1 / (float)samples, of_level = 1 / (float)p.points; /* j is below 2^18 */
  int64_t warp = ((int64_t)blockIdx.x * SORT_THREADS + threadIdx.x) / WARP;
  for (int64_t row = warp; row < rows; row += (int64_t)gridDim.x * SORT_THREADS / WARP) {
    int64_t sample = row / p.tokens;
    int token = (int)(row - sample * p.tokens);
    int4 place = s.places[token];
    const float *offsets = p.offsets + 3 * row * p.heads * samples;
    for (int j = lane; j < p.heads * samples; j += WARP) {
      int head = (int)(((float)j + .5f) * of_head);
      int l = (int)(((float)(j - head * samples) + .5f) * of_level);
      const SortLevel &level = s.level[l];
      if (!level.out) continue;
      int key = key_of(level, position_at(s, l, place, offsets + 3 * j));
      if (key < 0) continue;
      int64_t at = (int64_t)key * level.chunks + token / level.chunk;
      atomicAdd(s.counters + level.counters + (sample * p.heads + head) * level.row + at, 1);
    }
  }
}

/* Sums of parts of the counters; a segment begins a new one. */
static __device__ __forceinline__ int4 *part_find(const Deform &p, const Sort &s, int *number,
                                                  int *fours) {
  Item item = item_find(p, s, SORT_SCAN, blockIdx.x);
  const SortLevel &level = s.level[item.level];
  int64_t parts = (level.row + SORT_PART - 1) / SORT_PART, head = item.at / parts;
  *number = (int)(item.at - head * parts);
  int64_t left = level.row - (int64_t)*number * SORT_PART;
  *fours = (int)(left < SORT_PART ? left : SORT_PART) / 4;
  return reinterpret_cast<int4 *>(s.counters + level.counters + head * level.row +
                                  (int64_t)*number * SORT_PART);
}

static __global__ void __launch_bounds__(SORT_THREADS) sort_parts(const Deform p, const Sort s) {
  SHARED(int, shared, [WARP]);
  int number, fours, sum = 0;
  const int4 *counters = part_find(p, s, &number, &fours);
  for (int i = (int)threadIdx.x; i < fours; i += SORT_THREADS) {
    int4 four = counters[i];
    sum += four.x + four.y + four.z + four.w;
  }
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) s.parts[blockIdx.x] = sum;
}

/* Sum of what threads before this one of the block give. */
static __device__ __forceinline__ int block_before(int x, int *shared) {
  int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP, sum = x;
#pragma unroll
  for (int step = 1; step < WARP; step *= 2) {
    int other = __shfl_up_sync(WARP_ALL, sum, step);
    if (lane >= step) sum += other;
  }
  __syncthreads(); /* whoever still reads `shared` from before */
  if (lane == WARP - 1) shared[warp] = sum;
  __syncthreads();
  int before = warp_sum(lane < warp ? shared[lane] : 0);
  return before + sum - x;
}

/* Counters to the number of entries of their segment before them. */
static __global__ void __launch_bounds__(SORT_THREADS) sort_scan(const Deform p, const Sort s) {
  SHARED(int, shared, [WARP]);
  constexpr int FOURS = SORT_EACH / 4;
  int number, fours, before = 0, sum = 0;
  int4 *counters = part_find(p, s, &number, &fours), own[FOURS];
  for (int i = (int)threadIdx.x; i < number; i += SORT_THREADS)
    before += s.parts[blockIdx.x - number + i];
  before = block_sum(before, shared);
#pragma unroll
  for (int i = 0; i < FOURS; i++) {
    int at = (int)threadIdx.x * FOURS + i;
    own[i] = at < fours ? counters[at] : make_int4(0, 0, 0, 0);
    sum += own[i].x + own[i].y + own[i].z + own[i].w;
  }
  before += block_before(sum, shared);
#pragma unroll
  for (int i = 0; i < FOURS; i++) {
    int at = (int)threadIdx.x * FOURS + i, y = before + own[i].x, z = y + own[i].y;
    if (at < fours) counters[at] = make_int4(before, y, z, z + own[i].z);
    before = z + own[i].z + own[i].w;
  }
}

/* The lanes of the warp that have this lane's x, of which the lowest `bits` count. */
static __device__ __forceinline__ unsigned lanes_alike(unsigned x, int bits) {
  unsigned alike = WARP_ALL;
  for (int b = 0; b < bits; b++) {
    unsigned ones = __ballot_sync(WARP_ALL, x >> b & 1);
    alike &= x >> b & 1 ? ones : ~ones;
  }
  return alike;
}

/* A warp takes a chunk of a segment. Counters end as the start of the next chunk. What the next
 * points need is read while the counters of these are on their way. */
static __global__ void __launch_bounds__(SORT_THREADS) sort_fill(const Deform p, const Sort s) {
  int64_t warp = ((int64_t)blockIdx.x * SORT_THREADS + threadIdx.x) / WARP;
  if (warp >= s.total[SORT_FILL]) return;
  Item item = item_find(p, s, SORT_FILL, warp);
  const SortLevel &level = s.level[item.level];
  int64_t head = item.at / level.chunks, sample = head / p.heads;
  int lane = (int)threadIdx.x % WARP, chunk = (int)(item.at - head * level.chunks);
  int first = chunk * level.chunk * p.points;
  int last = min(s.segment - first, level.chunk * p.points) + first;
  int *counters = s.counters + level.counters + head * level.row + chunk;
  int *entries = s.entries + (head * p.levels + item.level) * s.segment;
  int64_t row = (sample * p.tokens * p.heads + head % p.heads) * p.levels + item.level;
  const float *offsets = p.offsets + 3 * row * p.points;
  auto key_at = [&](int point) {
    if (point >= last) return -1;
    int token = point / p.points;
    int64_t from = (int64_t)token * p.heads * p.levels * p.points + (point - token * p.points);
    return key_of(level, position_at(s, item.level, s.places[token], offsets + 3 * from));
  };
  int key = key_at(first + lane);
  for (int i = first; i < last; i += WARP) {
    unsigned same = lanes_alike((unsigned)(key + 1), WARP - __clz(level.keys));
    int leader = __ffs((int)same) - 1, at = 0;
    int *counter = counters + (int64_t)max(key, 0) * level.chunks;
    bool counts = lane == leader && key >= 0;
    if (counts) at = *counter;
    int next = key_at(i + WARP + lane);
    if (counts) *counter = at + __popc(same);
    at = __shfl_sync(WARP_ALL, at, leader) + __popc(same & ((1u << lane) - 1));
    if (key >= 0) entries[at] = i + lane;
    key = next;
    __syncwarp(); /* counters of other lanes */
  }
}

/* ---- on the host ----------------------------------------------------------------------------- */

/* Tiles of at most 512 voxels, none longer than need be, cut into at most 8 parts. */
static inline void sort_tiles(SortLevel *level) {
  int *shift = level->shift, spare = 9;
  for (int a = 0; a < 3; a++) {
    shift[a] = 3;
    while (shift[a] > 0 && 1 << (shift[a] - 1) >= level->size[a]) shift[a]--;
    spare -= shift[a];
  }
  for (int a = 2; a >= 0; a--)
    for (; spare > 0 && 1 << shift[a] < level->size[a]; spare--) shift[a]++;
  for (int a = 0; a < 3; a++) {
    level->sub[a] = shift[a];
    level->tiles[a] = (int)(((int64_t)level->size[a] + (1 << shift[a]) - 1) >> shift[a]);
  }
  for (int part = 0; part < 3; part++) {
    int most = 0;
    for (int a = 1; a < 3; a++)
      if (level->sub[a] > level->sub[most]) most = a;
    if (level->sub[most] > 0) level->sub[most]--;
  }
}

static inline int64_t sort_voxels(const SortLevel *level) {
  return (int64_t)level->size[0] * level->size[1] * level->size[2];
}

static inline void sort_level(SortLevel *level, int64_t tokens, int points) {
  int64_t all = tokens * points, cells = 1, tiles = 1;
  sort_tiles(level);
  for (int a = 0; a < 3; a++) cells *= level->size[a] + 1, tiles *= level->tiles[a];
  level->cells = all >= SORT_DENSE * cells;
  level->keys = (int)(level->cells ? cells : 8 * tiles);
  int64_t chunks = all * SORT_COUNTERS / level->keys, most = (all + SORT_CHUNK - 1) / SORT_CHUNK;
  chunks = chunks < 1 ? 1 : chunks < most ? chunks : most;
  level->chunk = (int)((tokens + chunks - 1) / chunks);
  level->chunks = (int)((tokens + level->chunk - 1) / level->chunk);
  level->row = ((int64_t)level->keys * level->chunks + 3) / 4 * 4;
}

/* The next `count` of T in the scratch memory. */
template <typename T> static inline T *sort_carve(Sort *s, void *scratch, int64_t count) {
  T *at = scratch ? reinterpret_cast<T *>(static_cast<char *>(scratch) + s->bytes) : NULL;
  s->bytes += ((size_t)count * sizeof(T) + 63) / 64 * 64;
  return at;
}

/* Items of a level in each step: what wants no gradient has none. */
static inline void sort_items(SortLevel *level, const Deform *p, const Sort *s, int64_t heads,
                              int64_t *items) {
  int64_t tiles = (int64_t)level->tiles[0] * level->tiles[1] * level->tiles[2];
  int64_t voxels = sort_voxels(level) * (heads / p->heads);
  items[SORT_FILL] = heads * level->chunks;
  items[SORT_SCAN] = heads * ((level->row + SORT_PART - 1) / SORT_PART);
  items[SORT_TILES] = level->cells ? 0 : heads * s->slices * tiles;
  items[SORT_CELLS] = level->cells ? heads * s->slices * level->keys : 0;
  items[SORT_VOXELS] = level->cells ? voxels * p->width : 0; /* elements */
}

/* `wide`: channels that are summed together. Without scratch: only how much it takes. */
static inline Sort sort_make(const Call *call, const Deform *p, int wide) {
  Sort s = {};
  int64_t heads = call->in[0].dim[0] * p->heads, cells = 0, parts = 0;
  s.segment = (int)(p->tokens * p->points);
  s.wide = wide;
  s.slices = (p->channels + wide - 1) / wide;
  for (int g = 0; g < p->grids; g++)
    s.axes += p->grid[g].size[0] + p->grid[g].size[1] + p->grid[g].size[2];
  for (int l = p->levels - 1; l >= 0; l--) {
    SortLevel *level = &s.level[l];
    int64_t items[SORT_STEPS];
    for (int a = 0; a < 3; a++) {
      level->size[a] = p->level[l].size[a];
      level->still[a] = p->level[l].still[a];
    }
    level->out = call->din[2 + l].data;
    sort_level(level, p->tokens, p->points);
    level->counters = s.counted;
    s.counted += heads * level->row;
    level->corners = cells;
    if (level->cells) cells += heads * level->keys;
    sort_items(level, p, &s, heads, items);
    parts += items[SORT_SCAN];
    for (int step = 0; step < SORT_STEPS; step++) {
      level->first[step] = s.total[step];
      if (level->out) s.total[step] += items[step];
    }
  }
  s.counters = sort_carve<int>(&s, call->scratch, s.counted);
  s.parts = sort_carve<int>(&s, call->scratch, parts);
  s.entries = sort_carve<int>(&s, call->scratch, heads * p->levels * s.segment);
  s.places = sort_carve<int4>(&s, call->scratch, p->tokens);
  s.references = sort_carve<Reference>(&s, call->scratch, (int64_t)p->levels * s.axes);
  s.softmax = sort_carve<float2>(&s, call->scratch, heads * p->tokens);
  s.corners = sort_carve<float>(&s, call->scratch, cells * 8 * s.slices * wide);
  return s;
}

/* All steps but what needs the softmax. */
static inline void sort_points(const Call *call, const Deform &p, const Sort &s) {
  int64_t rows = call->in[0].dim[0] * p.tokens, warps = s.total[SORT_FILL];
  constexpr int WARPS = SORT_THREADS / WARP;
  LAUNCH(sort_start, grid_blocks(sort_start, SORT_THREADS, 0, s.counted / SORT_THREADS + 1),
         SORT_THREADS, 0, call->stream, p, s);
  LAUNCH(sort_count, grid_blocks(sort_count, SORT_THREADS, 0, rows / WARPS + 1), SORT_THREADS, 0,
         call->stream, p, s, rows);
  LAUNCH(sort_parts, (unsigned)s.total[SORT_SCAN], SORT_THREADS, 0, call->stream, p, s);
  LAUNCH(sort_scan, (unsigned)s.total[SORT_SCAN], SORT_THREADS, 0, call->stream, p, s);
  LAUNCH(sort_fill, (unsigned)((warps + WARPS - 1) / WARPS), SORT_THREADS, 0, call->stream, p, s);
}

#endif
