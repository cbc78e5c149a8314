/* Where the sample points of deform_attention lie: bricks of query tokens, reference points, the
 * eight corners of a point.
 *
 * A block takes one head of one brick of neighbouring tokens (up to 4 x 4 x 8): its points fall
 * into one neighbourhood of each level, so most corners come from L1. Blocks walk the bricks of a
 * head before the next head: what neighbouring bricks share is still in L2. A reference point is
 * kept as a whole number and a rest, so that float loses nothing far from the origin; along an
 * axis it depends on the token's coordinate alone, so a brick has 16 a level. */
#ifndef KERNELS_CUDA_DEFORM_BRICKS_H
#define KERNELS_CUDA_DEFORM_BRICKS_H

#include "kernels/cuda/vector.h"
#include "kernels/cuda/warp.h"
#include "kernels/options.h"

enum { DEFORM_LEVELS = MAX_IN - 2, DEFORM_GRIDS = MAX_INTS / 3, DEFORM_AXIS = 4 + 4 + 8 };

namespace {

struct DeformLevel {
  const void *values; /* (N, D, H, W, E) of the storage type */
  int size[3];
  bool still[3];  /* along it offsets count for nothing: deform_still */
  int64_t sample; /* elements */
};

struct DeformGrid {
  int size[3], bricks[3]; /* tokens, bricks along each axis */
  int first_brick;
  int64_t first_token;
};

struct Deform {
  int levels, points, heads, channels, width, grids;
  int bricks;   /* of all grids */
  int shift[3]; /* a brick is 2^shift tokens along each axis, at most 4, 4, 8 */
  int64_t tokens;
  const float *offsets, *logits;
  DeformLevel level[DEFORM_LEVELS];
  DeformGrid grid[DEFORM_GRIDS];
};

/* A level as the block's sample and head see it, in shared memory. */
template <typename T> struct LevelHere {
  const T *values; /* first channel of the head */
  int size[3];
  bool still[3];
  int whole[DEFORM_AXIS]; /* reference points: z at 0, y at 4, x at 8 */
  float rest[DEFORM_AXIS];
};

struct Brick {
  int64_t sample;
  int head, grid, start[3];
};

/* A query token of the brick; `real`: inside the grid. Others repeat the last one of the grid. */
struct Token {
  int at[3]; /* within the brick */
  int64_t row;
  bool real;
};

/* Along one axis: the voxel below a point and how far the point lies above it; at -2 and below or
 * at `size` and above neither that voxel nor the next is inside. */
struct Along {
  int cell;
  float fraction;
};

/* elements: of both sides along each axis, within the sample; share: linear weights; inside: 1, or
 * 0 outside the level, where share is 0 and the element any. */
struct Corners {
  int element[3][2];
  float share[3][2], inside[3][2];
};

} // namespace

static __device__ __forceinline__ Brick brick_find(const Deform &p) {
  Brick brick;
  int at = (int)(blockIdx.x % (unsigned)p.bricks), g = 0;
  unsigned above = blockIdx.x / (unsigned)p.bricks;
  brick.head = (int)(above % (unsigned)p.heads);
  brick.sample = above / (unsigned)p.heads;
  while (g + 1 < p.grids && at >= p.grid[g + 1].first_brick) g++;
  at -= p.grid[g].first_brick;
  brick.grid = g;
  brick.start[2] = at % p.grid[g].bricks[2] << p.shift[2];
  brick.start[1] = at / p.grid[g].bricks[2] % p.grid[g].bricks[1] << p.shift[1];
  brick.start[0] = at / p.grid[g].bricks[2] / p.grid[g].bricks[1] << p.shift[0];
  return brick;
}

/* Token `at` of `grid` along an axis in the voxels of a level: (at + .5) size / grid - .5. */
static __device__ __forceinline__ void reference_make(int64_t at, int64_t size, int64_t grid,
                                                      int *whole, float *rest) {
  int64_t above = (2 * at + 1) * size - grid;
  *whole = (int)((above + 2 * grid) / (2 * grid) - 1); /* down: above >= -grid */
  *rest = (float)(above - 2 * grid * *whole) / (float)(2 * grid);
}

/* Two voxels outside the level all weights are zero: positions are clamped there, NaN too. */
static __device__ __forceinline__ Along along(int whole, float rest, float offset, int size) {
  float local = fminf(fmaxf(rest + offset, (float)(-2 - whole)), (float)(size + 1 - whole));
  float cell = floorf(local);
  return {whole + (int)cell, local - cell};
}

/* Fills `here`; ends with a barrier. */
template <typename T>
static __device__ __forceinline__ void levels_place(const Deform &p, const Brick &brick,
                                                    LevelHere<T> *here) {
  for (int item = (int)threadIdx.x; item < p.levels * DEFORM_AXIS; item += (int)blockDim.x) {
    int l = item / DEFORM_AXIS, slot = item % DEFORM_AXIS;
    int a = slot < 4 ? 0 : slot < 8 ? 1 : 2;
    int at = (a == 0 ? brick.start[0] : a == 1 ? brick.start[1] : brick.start[2]) + slot - 4 * a;
    reference_make(at, p.level[l].size[a], p.grid[brick.grid].size[a], &here[l].whole[slot],
                   &here[l].rest[slot]);
    if (slot >= 3) continue;
    here[l].size[slot] = p.level[l].size[slot];
    here[l].still[slot] = p.level[l].still[slot];
    if (slot > 0) continue;
    int64_t first = brick.sample * p.level[l].sample + (int64_t)brick.head * p.channels;
    here[l].values = static_cast<const T *>(p.level[l].values) + first;
  }
  __syncthreads();
}

static __device__ __forceinline__ Token token_at(const Deform &p, const Brick &brick, int k) {
  const DeformGrid &grid = p.grid[brick.grid];
  Token token = {{k >> (p.shift[1] + p.shift[2]), k >> p.shift[2] & ((1 << p.shift[1]) - 1),
                  k & ((1 << p.shift[2]) - 1)},
                 0,
                 true};
  int64_t index = 0;
#pragma unroll
  for (int a = 0; a < 3; a++) {
    int last = grid.size[a] - 1 - brick.start[a];
    if (token.at[a] > last) {
      token.at[a] = last;
      token.real = false;
    }
    index = index * grid.size[a] + brick.start[a] + token.at[a];
  }
  token.row = brick.sample * p.tokens + grid.first_token + index;
  return token;
}

template <typename L>
static __device__ __forceinline__ Corners corners_make(const L &level, const Token &token,
                                                       int width, const float *offset) {
  Corners c;
  int stride = width;
#pragma unroll
  for (int a = 2; a >= 0; a--) {
    int slot = 4 * a + token.at[a], size = level.size[a];
    float offset_here = level.still[a] ? 0 : offset[a];
    Along here = along(level.whole[slot], level.rest[slot], offset_here, size);
    int at = here.cell;
    float fraction = here.fraction;
    bool low = (unsigned)at < (unsigned)size, high = (unsigned)(at + 1) < (unsigned)size;
    c.element[a][0] = low ? at * stride : 0;
    c.element[a][1] = high ? (at + 1) * stride : 0;
    c.inside[a][0] = low ? 1 : 0;
    c.inside[a][1] = high ? 1 : 0;
    c.share[a][0] = low ? 1 - fraction : 0;
    c.share[a][1] = high ? fraction : 0;
    stride *= size;
  }
  return c;
}

/* Of corner k = 4 z + 2 y + x. */
static __device__ __forceinline__ int corner_element(const Corners &c, int k) {
  return c.element[0][k >> 2] + c.element[1][k >> 1 & 1] + c.element[2][k & 1];
}
static __device__ __forceinline__ float corner_weight(const Corners &c, int k) {
  return c.share[0][k >> 2] * c.share[1][k >> 1 & 1] * c.share[2][k & 1];
}

/* ---- on the host ----------------------------------------------------------------------------- */

/* Bricks of 4 x 4 x 8 tokens, halved while the device would stand idle or the grids are smaller;
 * at least `least` tokens. */
static inline void deform_bricks(Deform *p, const DeformAttentionOptions *o, int64_t samples,
                                 int least, int64_t resident) {
  int most[3] = {1, 1, 1};
  p->shift[0] = p->shift[1] = 2, p->shift[2] = 3;
  for (int i = 0; i < o->query_grids.count; i++)
    most[i % 3] = o->query_grids.v[i] > most[i % 3] ? o->query_grids.v[i] : most[i % 3];
  for (int a = 0; a < 3; a++)
    while (p->shift[a] > 0 && 1 << (p->shift[a] - 1) >= most[a] &&
           1 << (p->shift[0] + p->shift[1] + p->shift[2]) > least)
      p->shift[a]--;
  while (1 << (p->shift[0] + p->shift[1] + p->shift[2]) > least &&
         samples * p->heads * (p->tokens >> (p->shift[0] + p->shift[1] + p->shift[2])) < resident) {
    int a = p->shift[0] > 0 ? 0 : p->shift[1] > 0 ? 1 : 2;
    p->shift[a]--;
  }
}

static inline void deform_grids(Deform *p, const DeformAttentionOptions *o) {
  int64_t token = 0, brick = 0;
  for (int g = 0; g < p->grids; g++) {
    DeformGrid *grid = &p->grid[g];
    int64_t tokens = 1, bricks = 1;
    for (int a = 0; a < 3; a++) {
      grid->size[a] = o->query_grids.v[3 * g + a];
      grid->bricks[a] = (grid->size[a] + (1 << p->shift[a]) - 1) >> p->shift[a];
      tokens *= grid->size[a];
      bricks *= grid->bricks[a];
    }
    grid->first_token = token;
    grid->first_brick = (int)brick;
    token += tokens;
    brick += bricks;
  }
  CHECK(brick < INT32_MAX, "deform_attention: %lld bricks of tokens", (long long)brick);
  p->bricks = (int)brick;
}

static inline Deform deform_make(const Call *call, int least, int64_t resident) {
  const DeformAttentionOptions *o = static_cast<const DeformAttentionOptions *>(call->options);
  Deform p = {};
  p.levels = call->n_in - 2;
  p.points = o->points;
  p.heads = o->heads;
  p.width = (int)tensor_last(&call->in[2]);
  p.channels = p.width / p.heads;
  p.grids = o->query_grids.count / 3;
  p.tokens = call->in[0].dim[1];
  p.offsets = data_of<const float>(&call->in[0]);
  p.logits = data_of<const float>(&call->in[1]);
  for (int l = 0; l < p.levels; l++) {
    const Tensor *v = &call->in[2 + l];
    p.level[l].values = v->data;
    p.level[l].sample = tensor_count(v) / v->dim[0];
    for (int a = 0; a < 3; a++) {
      p.level[l].size[a] = (int)v->dim[1 + a];
      p.level[l].still[a] = deform_still(o, v, a);
    }
  }
  deform_bricks(&p, o, call->in[0].dim[0], least, resident);
  deform_grids(&p, o);
  return p;
}

#endif
