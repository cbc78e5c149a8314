/* The sample points of deform_attention.cpu.c: for a batch of tokens of one head, all L*P points of
 * each token at once, vectorised over points: softmax, positions, corner elements and weights.
 * Several tokens are prepared before any is used, because each is one long chain of dependent
 * operations: only in a batch do the chains run beside one another.
 *
 * Positions are kept as a whole number plus a small rest, so that float loses nothing far from the
 * origin. Where tokens stand is a table: a row for each coordinate of each axis of each grid. */
/* Vectors are passed by value only to functions that are inlined. */
#pragma GCC diagnostic ignored "-Wpsabi"

#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/options.h"

#define DEFORM_INLINE static inline __attribute__((always_inline, unused))

enum { IN_OFFSETS, IN_WEIGHTS, IN_VALUES };
enum { MAX_LEVELS = MAX_IN - IN_VALUES, BLOCK = VEC, BATCH_POINTS = 64 };

/* What is known of a block's points before they are sampled. */
typedef struct BlockLevels {
  const float *values[BLOCK]; /* first element of the point's level */
  float *gradient[BLOCK];     /* and of its gradient, which lies as the values do */
  float size[3][BLOCK];       /* of the level */
  int stride[3][BLOCK];       /* of its voxels, in floats */
  int moves[3][BLOCK];        /* all ones; 0 along an axis that is still */
  int there[BLOCK];           /* all ones; 0 behind the last point */
} BlockLevels;

/* A register of points of one token and head; L*P points are padded to whole blocks with attention
 * 0. A point's eight corners are four lines of two voxels along x: line 2 z + y, side 0 below, 1
 * above. A corner outside the grid has weight 0 and lies where its neighbour inside does. A point
 * without a corner inside is left out: it costs nothing, and what is infinite does not reach it. */
typedef struct Block {
  int element[4][BLOCK];  /* where the line starts, in floats from the point's level on */
  int step[BLOCK];        /* from there to the line's other voxel */
  float line[4][BLOCK];   /* its weight along z and y */
  float beside[2][BLOCK]; /* the attention times the weight along x of both sides */
  float attention[BLOCK];
  uint32_t inside[BLOCK]; /* in the first: bit j says that the j-th point has corners inside */
  /* for backward: */
  float share[3][2][BLOCK]; /* weights of both sides along z, y, x */
  float slope[3][2][BLOCK]; /* their derivatives: -1 and 1, 0 of what is outside or still */
  float product[BLOCK][8];  /* dy times the corners' values, in the order of corner_sums */
} Block;

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
  int points = points_blocks(call) * BLOCK;
  return points < BATCH_POINTS ? BATCH_POINTS / points : 1;
}

static size_t points_bytes(const Call *call) {
  size_t blocks = (size_t)points_blocks(call);
  return blocks * ((size_t)points_tokens(call) * sizeof(Block) + sizeof(BlockLevels) +
                   5 * BLOCK * sizeof(float));
}

/* Where a level lies. */
typedef struct Place {
  const float *values;
  float *gradient;
  int stride[3]; /* from one voxel to the next along z, y, x, in floats */
} Place;

static Points points_make(const Call *call, void *memory) {
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
  for (int j = 0; j < padded; j++) p.logits[j] = -INFINITY;
  return p;
}

static void points_aim(const Points *p, const Call *call, const Place *place) {
  const DeformAttentionOptions *o = call->options;
  for (int j = 0; j < p->blocks * BLOCK; j++) {
    int l = j < p->count ? j / o->points : 0, i = j % BLOCK;
    const Tensor *values = &call->in[IN_VALUES + l];
    BlockLevels *levels = &p->levels[j / BLOCK];
    levels->values[i] = place[l].values;
    levels->gradient[i] = place[l].gradient;
    levels->there[i] = j < p->count ? -1 : 0;
    for (int a = 0; a < 3; a++) {
      levels->size[a][i] = (float)values->dim[1 + a];
      levels->stride[a][i] = place[l].stride[a];
      levels->moves[a][i] = deform_still(o, values, a) ? 0 : -1;
    }
  }
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

enum { BAR = 4 }; /* cells across a bar */

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

DEFORM_INLINE IntVec whole_load(const int *from) {
  IntVec v;
  memcpy(&v, from, sizeof v);
  return v;
}

DEFORM_INLINE void whole_store(int *to, IntVec v) {
  memcpy(to, &v, sizeof v);
}

/* ---- three numbers in turn ---- */

/* Of three registers that hold z y x z y x ..., every third lane of each belongs to one axis: it
 * is put together of all three, then turned into its order; and back. Below, for lane i (as many as
 * the largest register has) and axis or lane a. */
#define LANE_ROW(LANE, a)                                                                          \
  {                                                                                                \
    LANE(0, a), LANE(1, a), LANE(2, a), LANE(3, a), LANE(4, a), LANE(5, a), LANE(6, a),            \
        LANE(7, a), LANE(8, a), LANE(9, a), LANE(10, a), LANE(11, a), LANE(12, a), LANE(13, a),    \
        LANE(14, a), LANE(15, a)                                                                   \
  }
#define LANE_ROWS(LANE)                                                                            \
  { LANE_ROW(LANE, 0), LANE_ROW(LANE, 1), LANE_ROW(LANE, 2) }
#define LANE_THIRD(i, a)  ((i) % 3 == (a) ? -1 : 0)
#define LANE_ORDER(i, a)  ((3 * (i) + (a)) % VEC)
#define LANE_NUMBER(i, a) ((((a) + 2 * (i)) * VEC % 3 * VEC + (i)) / 3 % VEC)
static const int lane_third[3][16] = LANE_ROWS(LANE_THIRD);
static const int lane_order[3][16] = LANE_ROWS(LANE_ORDER);
static const int lane_number[3][16] = LANE_ROWS(LANE_NUMBER);

/* Which lanes of the r-th of three registers are those of an axis. */
DEFORM_INLINE IntVec lanes_of(int axis, int r) {
  return whole_load(lane_third[(axis + 2 * r * VEC) % 3]);
}

DEFORM_INLINE void axes_apart(const float *from, Vec axis[3]) {
  Vec v[3] = {vec_load(from), vec_load(from + VEC), vec_load(from + 2 * VEC)};
  for (int a = 0; a < 3; a++) {
    Vec mixed = vec_select(lanes_of(a, 0), v[0], vec_select(lanes_of(a, 1), v[1], v[2]));
    axis[a] = __builtin_shuffle(mixed, whole_load(lane_order[a]));
  }
}

DEFORM_INLINE void axes_together(const Vec axis[3], float *to) {
  Vec v[3];
  for (int a = 0; a < 3; a++) v[a] = __builtin_shuffle(axis[a], whole_load(lane_number[a]));
  for (int r = 0; r < 3; r++)
    vec_store(to + r * VEC,
              vec_select(lanes_of(0, r), v[0], vec_select(lanes_of(1, r), v[1], v[2])));
}

/* ---- points of a token ---- */

static void softmax(const float *restrict logits, Block *restrict block, int blocks) {
  Vec top = vec_load(logits), sum = {0};
  for (int b = 1; b < blocks; b++) top = vec_max(top, vec_load(logits + b * BLOCK));
  float most = vec_largest(top);
  for (int b = 0; b < blocks; b++) {
#pragma omp simd
    for (int i = 0; i < BLOCK; i++) block[b].attention[i] = simd_exp(logits[b * BLOCK + i] - most);
    sum += vec_load(block[b].attention);
  }
  float scale = 1.f / vec_total(sum);
  for (int b = 0; b < blocks; b++)
    vec_store(block[b].attention, scale * vec_load(block[b].attention));
}

/* Along an axis: for both sides the weight, its derivative, and the element. */
typedef struct Axis {
  Vec share[2], slope[2];
  IntVec element[2], touches;
} Axis;

/* `whole`: of the centre of the token's cell, `rest` the rests. What is farther outside than a
 * voxel, and NaN, has no side inside the grid. */
DEFORM_INLINE Axis block_axis(const BlockLevels *levels, int a, const float *whole,
                              const float *rest, Vec offset) {
  IntVec moves = whole_load(levels->moves[a]), stride = whole_load(levels->stride[a]);
  Vec from = vec_load(whole), size = vec_load(levels->size[a]), lowest = -1.f - from;
  Vec local = vec_load(rest) + (Vec)(moves & (IntVec)offset);
  IntVec touches = (local >= lowest) & (local < size - from);
  local = vec_select(touches, local, lowest);
  IntVec cell = __builtin_convertvector(local, IntVec);
  cell += local < __builtin_convertvector(cell, Vec); /* towards zero -> down */
  Vec fraction = local - __builtin_convertvector(cell, Vec);
  cell += __builtin_convertvector(from, IntVec);
  IntVec inside[2] = {cell >= 0, cell + 1 < __builtin_convertvector(size, IntVec)};
  Axis axis = {.touches = touches};
  axis.element[0] = (cell & inside[0]) * stride;
  axis.element[1] = axis.element[0] + (inside[0] & inside[1] & stride);
  Vec share[2] = {1.f - fraction, fraction}, slope[2] = {vec_splat(-1.f), vec_splat(1.f)};
  for (int side = 0; side < 2; side++) {
    inside[side] &= touches;
    axis.share[side] = (Vec)(inside[side] & (IntVec)share[side]);
    axis.slope[side] = (Vec)(inside[side] & moves & (IntVec)slope[side]);
  }
  return axis;
}

/* `first`: the head's first channel. */
DEFORM_INLINE void block_corners(Block *b, const BlockLevels *levels, const Axis axis[3], int first,
                                 bool backward) {
  IntVec start = axis[2].element[0] + first;
  Vec attention = vec_load(b->attention);
  for (int k = 0; k < 4; k++) {
    int z = k >> 1, y = k & 1;
    whole_store(b->element[k], axis[0].element[z] + axis[1].element[y] + start);
    vec_store(b->line[k], axis[0].share[z] * axis[1].share[y]);
  }
  b->inside[0] =
      vec_bits(axis[0].touches & axis[1].touches & axis[2].touches & whole_load(levels->there));
  whole_store(b->step, axis[2].element[1] - axis[2].element[0]);
  for (int side = 0; side < 2; side++) {
    vec_store(b->beside[side], attention * axis[2].share[side]);
    for (int a = 0; backward && a < 3; a++) {
      vec_store(b->share[a][side], axis[a].share[side]);
      vec_store(b->slope[a][side], axis[a].slope[side]);
    }
  }
}

/* Whole vectors, zeros behind the last number: what is read again as vectors waits for narrower
 * stores. */
DEFORM_INLINE void vecs_copy(float *to, const float *from, int count) {
  for (; count >= VEC; to += VEC, from += VEC, count -= VEC) vec_store(to, vec_load(from));
  if (count) vec_store(to, vec_load_part(from, count));
}

/* The attention of the points of a token, the i-th of the batch. */
static void token_attention(const Points *p, int i, const float *logits) {
  if (p->blocks * BLOCK > p->count) {
    int last = (p->blocks - 1) * BLOCK;
    vecs_copy(p->logits, logits, p->count);
    Vec some = vec_load(p->logits + last), none = vec_splat(-INFINITY);
    vec_store(p->logits + last, vec_select(whole_load(p->levels[p->blocks - 1].there), some, none));
    logits = p->logits;
  }
  softmax(logits, p->block + i * p->blocks, p->blocks);
}

/* Everything else about its points that does not need the values. */
DEFORM_INLINE void token_corners(const Points *p, int i, const float *offsets, const Batch *batch,
                                 int first, bool backward) {
  int padded = p->blocks * BLOCK;
  const float *row[3] = {batch->row[0], batch->row[1], batch->row[2] + 2 * i * padded};
  if (padded > p->count) {
    vecs_copy(p->offsets, offsets, 3 * p->count);
    offsets = p->offsets;
  }
  for (int b = 0; b < p->blocks; b++) {
    Vec offset[3];
    Axis axis[3];
    axes_apart(offsets + 3 * BLOCK * b, offset);
    for (int a = 0; a < 3; a++)
      axis[a] =
          block_axis(&p->levels[b], a, row[a] + b * BLOCK, row[a] + padded + b * BLOCK, offset[a]);
    block_corners(&p->block[i * p->blocks + b], &p->levels[b], axis, first, backward);
  }
}
