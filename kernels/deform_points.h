/* The sample points of deform_attention.cpu.c: for a batch of tokens of one head, all L*P points of
 * each token at once, vectorised over points: softmax, positions, corner elements and weights.
 * Several tokens are prepared before any is used, because each is one long chain of dependent
 * operations: only in a batch do the chains run beside one another.
 *
 * Positions are kept as a whole number plus a small rest, so that float loses nothing far from the
 * origin. Where tokens stand is a table: a row for each coordinate of each axis of each grid. */
/* Vectors are passed by value only to functions that are inlined. */
#pragma GCC diagnostic ignored "-Wpsabi"

#include "kernels/options.h"
#include "kernels/simd_math.h"

#include <string.h>

#define DEFORM_INLINE static inline __attribute__((always_inline, unused))

enum { IN_OFFSETS, IN_WEIGHTS, IN_VALUES };
enum { MAX_LEVELS = MAX_IN - IN_VALUES, BLOCK = 16, BATCH_BLOCKS = 8 };

/* 16 points of one token and head; L*P points are padded to whole blocks with attention 0. Axis a =
 * z, y, x; side 0 below, 1 above; corner k = 4 z + 2 y + x. */
typedef struct Block {
  int element[8][BLOCK];  /* where the corner starts in its level */
  float weight[8][BLOCK]; /* its trilinear weight, 0 outside the grid, times the attention */
  float attention[BLOCK];
  /* for backward: */
  float share[6][BLOCK];   /* [2 a + side]: linear weight, 0 outside the grid */
  float inside[6][BLOCK];  /* 1 inside, 0 outside */
  float product[BLOCK][8]; /* dy times the corners' values, in the order of corner_sums */
} Block;

/* What is known of a block's points before they are sampled. */
typedef struct BlockLevels {
  int size[3][BLOCK], stride[3][BLOCK]; /* of the point's level */
  const float *source[BLOCK];           /* its values */
  float *target[BLOCK];                 /* their gradient; NULL: not wanted */
} BlockLevels;

/* The points of a batch of tokens of one head. */
typedef struct Points {
  int count, blocks, tokens; /* points of a token, in so many blocks; tokens of a batch */
  Block *block;              /* token by token */
  BlockLevels *levels;       /* of the blocks of a token */
  float *offsets, *logits;   /* padded copies, where L*P is no multiple of BLOCK */
  float *sampled;            /* of one token: dy times the sampled vector */
} Points;

static int points_blocks(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  return ((call->n_in - IN_VALUES) * o->points + BLOCK - 1) / BLOCK;
}

static int points_tokens(const Call *call) {
  int blocks = points_blocks(call);
  return blocks < BATCH_BLOCKS ? BATCH_BLOCKS / blocks : 1;
}

static size_t points_bytes(const Call *call) {
  size_t blocks = (size_t)points_blocks(call);
  return blocks * ((size_t)points_tokens(call) * sizeof(Block) + sizeof(BlockLevels) +
                   5 * BLOCK * sizeof(float));
}

/* `stride` of each level: elements from voxel to voxel. source and target are left open. */
static Points points_make(const Call *call, void *memory, const int *stride) {
  const DeformAttentionOptions *o = call->options;
  Points p = {.count = (call->n_in - IN_VALUES) * o->points,
              .blocks = points_blocks(call),
              .tokens = points_tokens(call),
              .block = memory};
  int padded = p.blocks * BLOCK, all = p.blocks * p.tokens;
  p.levels = (BlockLevels *)(void *)(p.block + all);
  p.offsets = (float *)(void *)(p.levels + p.blocks);
  p.logits = p.offsets + 3 * padded;
  p.sampled = p.offsets + 4 * padded;
  memset(p.offsets, 0, 3 * (size_t)padded * sizeof(float));
  for (int i = 0; i < all; i++) memset(p.block[i].product, 0, sizeof p.block[i].product);
  for (int j = 0; j < padded; j++) {
    int l = j < p.count ? j / o->points : 0;
    const int64_t *dim = call->in[IN_VALUES + l].dim;
    int64_t step[3] = {dim[2] * dim[3] * stride[l], dim[3] * stride[l], stride[l]};
    for (int a = 0; a < 3; a++) {
      p.levels[j / BLOCK].size[a][j % BLOCK] = (int)dim[1 + a];
      p.levels[j / BLOCK].stride[a][j % BLOCK] = (int)step[a];
    }
    p.logits[j] = -INFINITY;
  }
  return p;
}

/* ---- where tokens stand -------------------------------------------------------------------------
 */

static size_t places_bytes(const Call *call) {
  const DeformAttentionOptions *o = call->options;
  int64_t rows = 0;
  for (int i = 0; i < o->query_grids.count; i++) rows += o->query_grids.v[i];
  return (size_t)(rows * 2 * points_blocks(call) * BLOCK) * sizeof(float);
}

/* A row is, for each point, the whole part of the centre of the token's cell in voxels of the
 * point's level, then for each point the rest. */
static void places_fill(const Call *call, float *row) {
  const DeformAttentionOptions *o = call->options;
  int padded = points_blocks(call) * BLOCK, count = (call->n_in - IN_VALUES) * o->points;
  for (int i = 0; i < o->query_grids.count; i++)
    for (int at = 0; at < o->query_grids.v[i]; at++, row += 2 * padded)
      for (int j = 0; j < padded; j++) {
        const Tensor *values = &call->in[IN_VALUES + (j < count ? j / o->points : 0)];
        double position = (at + .5) * (double)values->dim[1 + i % 3] / o->query_grids.v[i] - .5;
        double low = floor(position);
        ((int *)(void *)row)[j] = (int)low;
        row[padded + j] = (float)(position - low);
      }
}

/* A token: its coordinates in its grid and the rows of the table they have. */
typedef struct Cursor {
  const int *grid;
  const float *table; /* first row of the grid's z axis */
  int at[3], row_floats;
} Cursor;

static void cursor_grid(Cursor *c) {
  c->table += (int64_t)(c->grid[0] + c->grid[1] + c->grid[2]) * c->row_floats;
  c->grid += 3;
}

static Cursor cursor_make(const Call *call, const float *places, int64_t t) {
  const DeformAttentionOptions *o = call->options;
  Cursor c = {o->query_grids.v, places, {0}, 2 * points_blocks(call) * BLOCK};
  for (int64_t cells; t >= (cells = (int64_t)c.grid[0] * c.grid[1] * c.grid[2]); cursor_grid(&c))
    t -= cells;
  c.at[0] = (int)(t / ((int64_t)c.grid[1] * c.grid[2]));
  c.at[1] = (int)(t / c.grid[2] % c.grid[1]);
  c.at[2] = (int)(t % c.grid[2]);
  return c;
}

static void cursor_next(Cursor *c) {
  for (int a = 2; a >= 0; a--) {
    if (++c->at[a] < c->grid[a]) return;
    c->at[a] = 0;
  }
  cursor_grid(c);
}

static void cursor_rows(const Cursor *c, const float *row[3]) {
  int before = 0;
  for (int a = 0; a < 3; a++) {
    row[a] = c->table + (int64_t)(before + c->at[a]) * c->row_floats;
    before += c->grid[a];
  }
}

/* ---- points of a token --------------------------------------------------------------------------
 */

typedef float Vector16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int Integer16 __attribute__((vector_size(64), aligned(4), may_alias));

/* Lane by lane; a comparison of vectors gives -1 or 0 in each lane. Of NaN and b: b. */
DEFORM_INLINE Vector16 larger(Vector16 a, Vector16 b) {
  Integer16 keep = a > b;
  return (Vector16)((keep & (Integer16)a) | (~keep & (Integer16)b));
}

DEFORM_INLINE Vector16 smaller(Vector16 a, Vector16 b) {
  Integer16 keep = a < b;
  return (Vector16)((keep & (Integer16)a) | (~keep & (Integer16)b));
}

/* Both as a tree: a chain of 16 would take longer than all the rest. */
DEFORM_INLINE float lane_total(Vector16 v) {
  v += __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
  v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
  v += __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
  return v[0];
}

DEFORM_INLINE float lane_largest(Vector16 v) {
  v = larger(v,
             __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  v = larger(v,
             __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  v = larger(v,
             __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
  v = larger(v,
             __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
  return v[0];
}

static void softmax(const float *restrict logits, Block *restrict block, int blocks) {
  Vector16 top = *(const Vector16 *)logits, sum = {0};
  for (int b = 1; b < blocks; b++) top = larger(top, *(const Vector16 *)(logits + b * BLOCK));
  float most = lane_largest(top);
  for (int b = 0; b < blocks; b++) {
#pragma omp simd
    for (int i = 0; i < BLOCK; i++) block[b].attention[i] = simd_exp(logits[b * BLOCK + i] - most);
    sum += *(Vector16 *)block[b].attention;
  }
  float scale = 1.f / lane_total(sum);
  for (int b = 0; b < blocks; b++) *(Vector16 *)block[b].attention *= scale;
}

/* The offsets of BLOCK points, (z, y, x) in turn, apart by axis. */
DEFORM_INLINE void block_offsets(const float *offsets, Vector16 axis[3]) {
  const Vector16 *v = (const Vector16 *)offsets;
  Vector16 z =
      __builtin_shufflevector(v[0], v[1], 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0);
  Vector16 y =
      __builtin_shufflevector(v[0], v[1], 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0);
  Vector16 x =
      __builtin_shufflevector(v[0], v[1], 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0);
  axis[0] = __builtin_shufflevector(z, v[2], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29);
  axis[1] = __builtin_shufflevector(y, v[2], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30);
  axis[2] = __builtin_shufflevector(x, v[2], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31);
}

/* Linear weights, whether inside, and elements on both sides along an axis. */
typedef struct Axis {
  Vector16 share[2], inside[2];
  Integer16 element[2];
} Axis;

/* `row`: whole parts of the centre of the token's cell, `rest` the rests. Two voxels outside the
 * grid all weights are zero: positions are clamped there, which also takes NaN. */
DEFORM_INLINE Axis block_axis(const BlockLevels *levels, int a, const float *row, const float *rest,
                              Vector16 offset) {
  Integer16 whole = *(const Integer16 *)row, stride = *(const Integer16 *)levels->stride[a];
  Integer16 last = *(const Integer16 *)levels->size[a] - 1;
  Vector16 local = *(const Vector16 *)rest + offset;
  local = larger(local, __builtin_convertvector(-2 - whole, Vector16));
  local = smaller(local, __builtin_convertvector(last + 2 - whole, Vector16));
  Integer16 cell = __builtin_convertvector(local, Integer16);
  cell += local < __builtin_convertvector(cell, Vector16); /* towards zero -> down */
  Vector16 fraction = local - __builtin_convertvector(cell, Vector16);
  Axis axis = {.share = {1.f - fraction, fraction}};
  for (int side = 0; side < 2; side++) {
    Integer16 at = whole + cell + side, inside = (at >= 0) & (at <= last);
    axis.inside[side] = __builtin_convertvector(-inside, Vector16);
    axis.share[side] = (Vector16)(inside & (Integer16)axis.share[side]);
    at &= at >= 0;
    at += (last - at) & (at > last);
    axis.element[side] = at * stride;
  }
  return axis;
}

DEFORM_INLINE void block_corners(Block *b, const Axis axis[3], bool backward) {
  Vector16 attention = *(Vector16 *)b->attention;
  for (int k = 0; k < 8; k++) {
    int z = k >> 2, y = k >> 1 & 1, x = k & 1;
    *(Integer16 *)b->element[k] = axis[0].element[z] + axis[1].element[y] + axis[2].element[x];
    *(Vector16 *)b->weight[k] = attention * axis[0].share[z] * axis[1].share[y] * axis[2].share[x];
  }
  for (int s = 0; backward && s < 6; s++) {
    *(Vector16 *)b->share[s] = axis[s >> 1].share[s & 1];
    *(Vector16 *)b->inside[s] = axis[s >> 1].inside[s & 1];
  }
}

/* The attention of the points of a token, the i-th of the batch. */
static void token_attention(const Points *p, int i, const float *logits) {
  if (p->blocks * BLOCK > p->count)
    logits = memcpy(p->logits, logits, (size_t)p->count * sizeof *logits);
  softmax(logits, p->block + i * p->blocks, p->blocks);
}

/* Everything else about its points that does not need the values. */
DEFORM_INLINE void token_corners(const Points *p, int i, const float *offsets, const Cursor *cursor,
                                 bool backward) {
  const float *row[3];
  cursor_rows(cursor, row);
  if (p->blocks * BLOCK > p->count)
    offsets = memcpy(p->offsets, offsets, 3 * (size_t)p->count * sizeof *offsets);
  for (int b = 0; b < p->blocks; b++) {
    Block *block = &p->block[i * p->blocks + b];
    Vector16 offset[3];
    Axis axis[3];
    block_offsets(offsets + 3 * BLOCK * b, offset);
    for (int a = 0; a < 3; a++)
      axis[a] = block_axis(&p->levels[b], a, row[a] + b * BLOCK, row[a] + (p->blocks + b) * BLOCK,
                           offset[a]);
    block_corners(block, axis, backward);
  }
}
