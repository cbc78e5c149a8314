/* The sample points of deform_attention.cpu.c: for a batch of tokens of one head, all L*P points of
 * each token at once, vectorised over points: softmax, positions, corner elements and weights.
 * Several tokens are prepared before any is used, because each is one long chain of dependent
 * operations: only in a batch do the chains run beside one another.
 *
 * Positions are kept as a whole number plus a small rest, so that float loses nothing far from the
 * origin. Where tokens stand is a table: a row for each coordinate of each axis of each grid. */
/* Vectors are passed by value only to functions that are inlined. */
#pragma GCC diagnostic ignored "-Wpsabi"

#include "kernels/cpu/simd_math.h"
#include "kernels/options.h"

#include <string.h>

#define DEFORM_INLINE static inline __attribute__((always_inline, unused))

enum { IN_OFFSETS, IN_WEIGHTS, IN_VALUES };
enum { MAX_LEVELS = MAX_IN - IN_VALUES, BLOCK = 16, BATCH_BLOCKS = 8 };

/* 16 points of one token and head; L*P points are padded to whole blocks with attention 0. A
 * point's eight corners are four lines of two voxels along x: line 2 z + y, side 0 below, 1
 * above. */
typedef struct Block {
  int element[4][BLOCK];  /* where the line starts in the tile, in pairs of floats */
  float line[4][BLOCK];   /* its weight along z and y */
  float beside[BLOCK][2]; /* the attention times the weight along x of both sides */
  float attention[BLOCK];
  /* for backward: */
  float fraction[3][BLOCK]; /* of a voxel above the cell's lower side: z, y, x */
  float inside[BLOCK];      /* the attention, 0 where no corner is inside the grid */
  float product[BLOCK][8];  /* dy times the corners' values, in the order of corner_sums */
} Block;

/* What is known of a block's points before they are sampled. */
typedef struct BlockLevels {
  float size[3][BLOCK]; /* of the point's level */
  int stride[3][BLOCK]; /* in the tile, in pairs of floats */
  int moves[3][BLOCK];  /* all ones; 0 along an axis that is still */
  int origin[BLOCK];    /* where its first voxel lies */
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

/* Where a level lies in a tile: a voxel of zeros on every side of the grid. In pairs of floats. */
typedef struct Place {
  int start, stride[3];
} Place;

static Points points_make(const Call *call, void *memory, const Place *place) {
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
    BlockLevels *levels = &p.levels[j / BLOCK];
    levels->origin[j % BLOCK] = place[l].start;
    for (int a = 0; a < 3; a++) {
      levels->size[a][j % BLOCK] = (float)call->in[IN_VALUES + l].dim[1 + a];
      levels->stride[a][j % BLOCK] = place[l].stride[a];
      levels->moves[a][j % BLOCK] = deform_still(o, &call->in[IN_VALUES + l], a) ? 0 : -1;
      levels->origin[j % BLOCK] += place[l].stride[a];
    }
    p.logits[j] = -INFINITY;
  }
  return p;
}

/* ---- where tokens stand ---------------------------------------------------------------------- */

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
        row[j] = (float)low;
        row[padded + j] = (float)(position - low);
      }
}

/* Tokens that are next to one another along x, prepared together. */
typedef struct Batch {
  int64_t token;
  int count;           /* 0: there is none */
  const float *row[3]; /* of the table: z, y, x of the first token */
} Batch;

/* The way through all tokens: bars of few cells along z and x, so that what neighbours sample is
 * still in the cache; in a bar y is the slowest. */
typedef struct Walk {
  const int *grid;
  int grids, row_floats, tokens; /* still to visit; of a row of the table; of a batch */
  const float *table;            /* first row of the grid's z axis */
  int64_t token;                 /* the grid's first */
  int bar[3], at[3];             /* the bar's first cell; where the next batch starts */
} Walk;

enum { BAR = 12 }; /* cells across a bar */

static Walk walk_make(const Call *call, const float *places, int tokens) {
  const DeformAttentionOptions *o = call->options;
  return (Walk){.grid = o->query_grids.v,
                .grids = o->query_grids.count / 3,
                .row_floats = 2 * points_blocks(call) * BLOCK,
                .tokens = tokens,
                .table = places};
}

/* Where the bar ends that starts at cell `first` of `size`. */
static int bar_end(int first, int size) {
  int bars = (size + BAR - 1) / BAR, cells = (size + bars - 1) / bars;
  return first + cells < size ? first + cells : size;
}

static void walk_row(Walk *w) {
  const int *grid = w->grid;
  w->at[2] = w->bar[2];
  if (++w->at[0] < bar_end(w->bar[0], grid[0])) return;
  w->at[0] = w->bar[0];
  if (++w->at[1] < grid[1]) return;
  w->at[1] = 0;
  w->at[2] = w->bar[2] = bar_end(w->bar[2], grid[2]);
  if (w->bar[2] < grid[2]) return;
  w->at[2] = w->bar[2] = 0;
  w->at[0] = w->bar[0] = bar_end(w->bar[0], grid[0]);
  if (w->bar[0] < grid[0]) return;
  w->at[0] = w->bar[0] = 0;
  w->table += (int64_t)(grid[0] + grid[1] + grid[2]) * w->row_floats;
  w->token += (int64_t)grid[0] * grid[1] * grid[2];
  w->grid += 3;
  w->grids--;
}

static Batch walk_next(Walk *w) {
  if (!w->grids) return (Batch){0};
  const int *grid = w->grid, *at = w->at;
  int left = bar_end(w->bar[2], grid[2]) - at[2];
  const float *z = w->table + (int64_t)at[0] * w->row_floats;
  const float *y = w->table + (int64_t)(grid[0] + at[1]) * w->row_floats;
  const float *x = w->table + (int64_t)(grid[0] + grid[1] + at[2]) * w->row_floats;
  Batch batch = {.token = w->token + ((int64_t)at[0] * grid[1] + at[1]) * grid[2] + at[2],
                 .count = left < w->tokens ? left : w->tokens,
                 .row = {z, y, x}};
  w->at[2] += batch.count;
  if (batch.count == left) walk_row(w);
  return batch;
}

/* ---- points of a token ----------------------------------------------------------------------- */

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

/* Along an axis: the fraction, the element of the lower side, and all ones where the cell touches
 * the grid. */
typedef struct Axis {
  Vector16 fraction;
  Integer16 element, touches;
} Axis;

/* `whole`: of the centre of the token's cell, `rest` the rests. What is farther outside than a
 * voxel, and NaN, is moved to the zeros below the grid. */
DEFORM_INLINE Axis block_axis(const BlockLevels *levels, int a, const float *whole,
                              const float *rest, Vector16 offset) {
  offset = (Vector16)(*(const Integer16 *)levels->moves[a] & (Integer16)offset);
  Vector16 from = *(const Vector16 *)whole, local = *(const Vector16 *)rest + offset;
  Vector16 low = -1.f - from;
  Axis axis;
  axis.touches = (local >= low) & (local < *(const Vector16 *)levels->size[a] - from);
  local = (Vector16)((axis.touches & (Integer16)local) | (~axis.touches & (Integer16)low));
  Integer16 cell = __builtin_convertvector(local, Integer16);
  cell += local < __builtin_convertvector(cell, Vector16); /* towards zero -> down */
  axis.fraction = local - __builtin_convertvector(cell, Vector16);
  axis.element =
      (cell + __builtin_convertvector(from, Integer16)) * *(const Integer16 *)levels->stride[a];
  return axis;
}

DEFORM_INLINE void block_corners(Block *b, const BlockLevels *levels, const Axis axis[3],
                                 bool backward) {
  Vector16 attention = *(Vector16 *)b->attention;
  Vector16 share[3][2];
  for (int a = 0; a < 3; a++) {
    share[a][0] = 1.f - axis[a].fraction;
    share[a][1] = axis[a].fraction;
    if (backward) *(Vector16 *)b->fraction[a] = axis[a].fraction;
  }
  Integer16 first =
      *(const Integer16 *)levels->origin + axis[0].element + axis[1].element + axis[2].element;
  for (int k = 0; k < 4; k++) {
    Integer16 element = first;
    if (k & 2) element += *(const Integer16 *)levels->stride[0];
    if (k & 1) element += *(const Integer16 *)levels->stride[1];
    *(Integer16 *)b->element[k] = element;
    *(Vector16 *)b->line[k] = share[0][k >> 1] * share[1][k & 1];
  }
  Vector16 low = attention * share[2][0], high = attention * share[2][1];
  ((Vector16 *)b->beside)[0] =
      __builtin_shufflevector(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  ((Vector16 *)b->beside)[1] = __builtin_shufflevector(low, high, 8, 24, 9, 25, 10, 26, 11, 27, 12,
                                                       28, 13, 29, 14, 30, 15, 31);
  if (backward)
    *(Integer16 *)b->inside =
        (Integer16)attention & axis[0].touches & axis[1].touches & axis[2].touches;
}

/* The attention of the points of a token, the i-th of the batch. */
static void token_attention(const Points *p, int i, const float *logits) {
  if (p->blocks * BLOCK > p->count)
    logits = memcpy(p->logits, logits, (size_t)p->count * sizeof *logits);
  softmax(logits, p->block + i * p->blocks, p->blocks);
}

/* Everything else about its points that does not need the values. */
DEFORM_INLINE void token_corners(const Points *p, int i, const float *offsets, const Batch *batch,
                                 bool backward) {
  int padded = p->blocks * BLOCK;
  const float *row[3] = {batch->row[0], batch->row[1], batch->row[2] + 2 * i * padded};
  if (padded > p->count)
    offsets = memcpy(p->offsets, offsets, 3 * (size_t)p->count * sizeof *offsets);
  for (int b = 0; b < p->blocks; b++) {
    Block *block = &p->block[i * p->blocks + b];
    Vector16 offset[3];
    Axis axis[3];
    block_offsets(offsets + 3 * BLOCK * b, offset);
    for (int a = 0; a < 3; a++)
      axis[a] =
          block_axis(&p->levels[b], a, row[a] + b * BLOCK, row[a] + padded + b * BLOCK, offset[a]);
    block_corners(block, &p->levels[b], axis, backward);
  }
}
