/* Attention within windows without a score matrix (Dao et al. 2022): a window of a slice and a head
 * are one task, whose keys, values and their gradients lie side by side, so that backward needs
 * five products and no sum over threads. A tile of queries meets a block of whole rows of keys;
 * lanes of their scores are queries, so that nothing is summed across a register. Scores get their
 * positions from two small tables of the tile, key row x query and key column x query: products
 * with the rows of the tables that the tile reaches, each query's shifted to its place; the
 * gradient is summed along key columns and key rows first and goes back the same way. What is for
 * all tasks (gradients of tables and pad) is summed by a fixed number of groups of tasks and added
 * in their order: the same bits for any number of threads. Bound by FLOP. */
#include "kernels/cpu/grid_tiles.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vec_exp.h"

#include <math.h>
#include <omp.h>

static const float LOWEST = -1e30f;

static bool prepare(Call *call, Error *error) {
  (void)error;
  GridWhole w = grid_whole(call);
  call->scratch_bytes = (size_t)(w.shares + w.share * omp_get_max_threads()) * sizeof(float);
  return true;
}

/* Keys of whole rows that are walked at once. */
typedef struct Block {
  int first, rows; /* key rows */
  int64_t keys;
} Block;

static Block block_of(const GridTask *t, int first) {
  int rows = t->w.key_columns < GRID_BLOCK ? GRID_BLOCK / t->w.key_columns : 1;
  if (rows > t->w.key_rows - first) rows = t->w.key_rows - first;
  return (Block){first, rows, (int64_t)rows * t->w.key_columns};
}

/* ---- forward --------------------------------------------------------------------------------- */

/* Scores with their positions, and the highest of them and of `best` in every lane. */
static void positions_add(const GridTask *t, const GridTile *tile, Block b, const GridShare *s,
                          float *best) {
  int n = tile->lanes, columns = t->w.key_columns;
  for (int lane = 0; lane < n; lane += VEC) {
    Vec top = vec_load(best + lane), other = top;
    for (int y = 0; y < b.rows; y++) {
      Vec of_row = vec_load(s->bias[0] + (b.first + y) * n + lane);
      float *p = s->p + (int64_t)y * columns * n + lane;
      const float *of_column = s->bias[1] + lane;
      for (int x = 0; x < columns; x++, p += n, of_column += n) {
        Vec score = vec_load(p) + (of_row + vec_load(of_column));
        vec_store(p, score);
        if (x & 1)
          top = vec_max(top, score);
        else
          other = vec_max(other, score);
      }
    }
    vec_store(best + lane, vec_max(top, other));
  }
}

/* Scores to exp(score - best); `fade` is what was summed under the old best to be scaled by. */
static void soften(const GridTile *tile, Block b, float *p, const float *old, const float *best,
                   float *total, float *fade) {
  int n = tile->lanes;
  for (int lane = 0; lane < n; lane += VEC) {
    Vec top = vec_load(best + lane), part = {0}, other = {0};
    Vec shrink = vec_exp(vec_load(old + lane) - top);
    float *at = p + lane;
    int64_t i = 0;
    for (; i + 2 <= b.keys; i += 2, at += 2 * n) {
      Vec one = vec_exp(vec_load(at) - top), two = vec_exp(vec_load(at + n) - top);
      vec_store(at, one);
      vec_store(at + n, two);
      part += one;
      other += two;
    }
    if (i < b.keys) {
      Vec one = vec_exp(vec_load(at) - top);
      vec_store(at, one);
      part += one;
    }
    vec_store(fade + lane, shrink);
    vec_store(total + lane, vec_load(total + lane) * shrink + (part + other));
  }
}

static void rows_scale(const GridWhole *w, int count, const float *by, float *rows) {
  for (int i = 0; i < count; i++)
    for (int c = 0; c < w->g.size; c++) rows[i * w->g.size + c] *= by[i];
}

static void forward_tile(const Call *call, const GridWhole *w, const GridTask *t,
                         const GridShare *s, const GridTile *tile) {
  int64_t size = w->g.size;
  float best[GRID_LANES], old[GRID_LANES], total[GRID_LANES] = {0}, by[GRID_LANES];
  const float *q = (const float *)call->in[GRID_QKV].data + t->head * size;
  grid_tile_pack(w, tile, q, 3 * w->g.embed, s->q, s->q_lanes);
  for (int axis = 0; axis < 2; axis++) grid_positions(call, w, t, tile, s, axis);
  for (int i = 0; i < GRID_LANES; i++) best[i] = LOWEST;
  for (Block b = block_of(t, 0); b.rows > 0; b = block_of(t, b.first + b.rows)) {
    int64_t first = (int64_t)b.first * t->w.key_columns;
    grid_scores(w, tile, b.keys, s->k + first * size, s->q_lanes, s->p);
    memcpy(old, best, sizeof old);
    positions_add(t, tile, b, s, best);
    soften(tile, b, s->p, old, best, total, by);
    if (b.first > 0) rows_scale(w, tile->count, by, s->y);
    grid_queries_add(w, tile, b.keys, s->p, s->v + first * size, b.first > 0, s->y);
  }
  for (int i = 0; i < tile->count; i++) {
    float *y = (float *)call->out[GRID_Y].data + tile->token[i] * w->g.embed + t->head * size;
    float *lse = (float *)call->out[GRID_LSE].data + tile->token[i] * w->g.heads + t->head;
    for (int64_t c = 0; c < size; c++) y[c] = s->y[i * size + c] / total[i];
    *lse = best[i] + logf(total[i]);
  }
}

static bool is_large(const GridWhole *w) {
  const GridSizes *g = &w->g;
  return g->slices * g->height * g->width * g->embed > PARALLEL_LEAST / 16;
}

static void forward(const Call *call) {
  GridWhole w = grid_whole(call);
  for (int axis = 0; axis < 2; axis++) grid_table_read(call, &w, axis);
#pragma omp parallel for schedule(dynamic) if (is_large(&w))
  for (int64_t at = 0; at < w.tasks; at++) {
    GridShare share = grid_share(call, &w);
    GridTask t = grid_task(&w.g, at);
    grid_keys_pack(call, &w, &t, &share);
    for (int64_t i = 0; i < grid_tile_count(&t); i++) {
      GridTile tile = grid_tile(&w, &t, i);
      forward_tile(call, &w, &t, &share, &tile);
    }
  }
}

/* ---- backward -------------------------------------------------------------------------------- */

/* Scores to p and what p was multiplied with, v . dy, to ds, whose sums along key columns and key
 * rows are added up. bias[0] has the log-sum-exp in it. */
static void scores_back(const GridTask *t, const GridTile *tile, Block b, const GridShare *s,
                        const float *delta) {
  int n = tile->lanes, columns = t->w.key_columns;
  for (int lane = 0; lane < n; lane += VEC)
    for (int y = 0; y < b.rows; y++) {
      int64_t first = (int64_t)y * columns * n + lane, row = (int64_t)(b.first + y) * n + lane;
      float *p = s->p + first, *ds = s->ds + first, *along = s->sum[1] + lane;
      const float *of_column = s->bias[1] + lane;
      Vec of_row = vec_load(s->bias[0] + row), minus = vec_load(delta + lane), total = {0};
      for (int x = 0; x < columns; x++, p += n, ds += n, of_column += n, along += n) {
        Vec share = vec_exp(vec_load(p) + (of_row + vec_load(of_column)));
        Vec gradient = share * (vec_load(ds) - minus);
        vec_store(p, share);
        vec_store(ds, gradient);
        vec_store(along, vec_load(along) + gradient);
        total += gradient;
      }
      vec_store(s->sum[0] + row, total);
    }
}

static void tile_load(const Call *call, const GridWhole *w, const GridTask *t, const GridShare *s,
                      const GridTile *tile, float *delta) {
  int64_t size = w->g.size, embed = w->g.embed, n = tile->lanes;
  const float *q = (const float *)call->in[GRID_QKV].data + t->head * size;
  const float *dy = (const float *)call->dout[GRID_Y].data + t->head * size;
  grid_tile_pack(w, tile, q, 3 * embed, s->q, s->q_lanes);
  grid_tile_pack(w, tile, dy, embed, s->dy, s->dy_lanes);
  for (int axis = 0; axis < 2; axis++) grid_positions(call, w, t, tile, s, axis);
  for (int i = 0; i < tile->count; i++) {
    const float *y =
        (const float *)call->out[GRID_Y].data + tile->token[i] * embed + t->head * size;
    float lse = ((const float *)call->out[GRID_LSE].data)[tile->token[i] * w->g.heads + t->head];
    for (int64_t c = 0; c < size; c++) delta[i] += y[c] * s->dy[i * size + c];
    for (int key = 0; key < t->w.key_rows; key++) s->bias[0][key * n + i] -= lse;
  }
  memset(s->sum[1], 0, (size_t)(t->w.key_columns * n) * sizeof(float));
}

static void backward_tile(const Call *call, const GridWhole *w, const GridTask *t,
                          const GridShare *s, const GridTile *tile, bool first_tile, float *sums) {
  int64_t size = w->g.size, embed = w->g.embed;
  float delta[GRID_LANES] = {0}, *dqkv = call->din[GRID_QKV].data;
  tile_load(call, w, t, s, tile, delta);
  for (Block b = block_of(t, 0); b.rows > 0; b = block_of(t, b.first + b.rows)) {
    int64_t first = (int64_t)b.first * t->w.key_columns * size;
    grid_scores(w, tile, b.keys, s->k + first, s->q_lanes, s->p);
    grid_scores(w, tile, b.keys, s->v + first, s->dy_lanes, s->ds);
    scores_back(t, tile, b, s, delta);
    grid_queries_add(w, tile, b.keys, s->ds, s->k + first, b.first > 0, s->y);
    grid_keys_add(w, tile, b.keys, s->ds, s->q, !first_tile, s->dk + first);
    grid_keys_add(w, tile, b.keys, s->p, s->dy, !first_tile, s->dv + first);
  }
  grid_positions_back(call, w, t, tile, s, 0, sums);
  grid_positions_back(call, w, t, tile, s, 1, sums ? sums + w->table[1] : NULL);
  for (int i = 0; dqkv && i < tile->count; i++)
    memcpy(dqkv + tile->token[i] * 3 * embed + t->head * size, s->y + i * size,
           (size_t)size * sizeof *dqkv);
}

static void backward_task(const Call *call, const GridWhole *w, int64_t at, float *sums) {
  GridShare share = grid_share(call, w);
  GridTask t = grid_task(&w->g, at);
  grid_keys_pack(call, w, &t, &share);
  for (int64_t i = 0; i < grid_tile_count(&t); i++) {
    GridTile tile = grid_tile(w, &t, i);
    backward_tile(call, w, &t, &share, &tile, i == 0, sums);
  }
  grid_keys_unpack(call, w, &t, &share, sums ? sums + w->floats - 2 * w->g.embed : NULL);
}

/* The groups' sums, added in their order into the first, become gradients. */
static void sums_finish(const Call *call, const GridWhole *w) {
  float *sums = (float *)call->scratch + w->sums, *pad = call->din[GRID_PAD].data;
#pragma omp parallel for schedule(static) if (is_large(w))
  for (int64_t i = 0; i < w->floats; i++) {
    double total = 0;
    for (int64_t group = 0; group < w->groups; group++) total += sums[group * w->floats + i];
    sums[i] = (float)total;
  }
  for (int axis = 0; axis < 2; axis++) grid_table_gradient(call, w, axis, sums + w->table[axis]);
  if (!pad) return;
  memset(pad, 0, (size_t)w->g.embed * sizeof *pad);
  memcpy(pad + w->g.embed, sums + w->floats - 2 * w->g.embed,
         (size_t)(2 * w->g.embed) * sizeof *pad);
}

static void backward(const Call *call) {
  GridWhole w = grid_whole(call);
  if (!call->dout[GRID_Y].data) { /* nothing arrives */
    for (int i = 0; i < call->n_in; i++)
      if (call->din[i].data) memset(call->din[i].data, 0, tensor_bytes(&call->din[i]));
    return;
  }
  for (int axis = 0; axis < 2; axis++) grid_table_read(call, &w, axis);
#pragma omp parallel for schedule(dynamic) if (is_large(&w))
  for (int64_t group = 0; group < w.groups; group++) {
    float *sums = w.floats ? (float *)call->scratch + w.sums + group * w.floats : NULL;
    int64_t end = (group + 1) * w.tasks / w.groups;
    if (sums) memset(sums, 0, (size_t)w.floats * sizeof *sums);
    for (int64_t at = group * w.tasks / w.groups; at < end; at++) backward_task(call, &w, at, sums);
  }
  if (w.floats) sums_finish(call, &w);
}

const Kernel grid_attention_cpu = {
    .forward = forward, .backward = backward, .prepare = prepare, .float_only = true};
