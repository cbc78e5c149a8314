#include "kernels/cpu/grid_tiles.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/tile_product.h"

#include <math.h>
#include <omp.h>

/* ---- scratch --------------------------------------------------------------------------------- */

enum { SHARE_PARTS = 16, SHARE_FORWARD = 9 };
enum { GROUPS = 64 }; /* of tasks, each with sums of its own */

/* Floats of a share, which begins at `at` (NULL: only counted). */
static int64_t share_make(const GridSizes *g, bool backward, float *at, GridShare *s) {
  int64_t keys = (int64_t)g->side_h * g->side_w * g->size, tile = (int64_t)GRID_LANES * g->size;
  int64_t block = GRID_LANES * (int64_t)(g->side_w > GRID_BLOCK ? g->side_w : GRID_BLOCK);
  int64_t rows = (int64_t)GRID_LANES * g->side_h, columns = (int64_t)GRID_LANES * g->side_w;
  int64_t reach = 2 * (rows > columns ? rows : columns), floats = 0;
  const struct {
    float **part;
    int64_t count;
  } parts[SHARE_PARTS] = {
      {&s->k, keys},        {&s->v, keys},       {&s->q, tile},          {&s->q_lanes, tile},
      {&s->y, tile},        {&s->bias[0], rows}, {&s->bias[1], columns}, {&s->turned, reach},
      {&s->p, block},       {&s->dk, keys},      {&s->dv, keys},         {&s->dy, tile},
      {&s->dy_lanes, tile}, {&s->ds, block},     {&s->sum[0], rows},     {&s->sum[1], columns}};
  for (int i = 0; i < (backward ? SHARE_PARTS : SHARE_FORWARD); i++) {
    *parts[i].part = at ? at + floats : NULL;
    floats += (parts[i].count + 15) / 16 * 16;
  }
  return floats;
}

/* What is summed over all tasks. */
static bool sums_wanted(const Call *call) {
  return call->wants & (SAVES_IN(GRID_TABLE_H) | SAVES_IN(GRID_TABLE_W) | SAVES_IN(GRID_PAD));
}

GridWhole grid_whole(const Call *call) {
  GridWhole w = {.g = grid_sizes(call)};
  const GridSizes *g = &w.g;
  bool sums = call->backward && sums_wanted(call);
  GridShare share;
  w.table[1] = (int64_t)grid_table_rows(g->side_h) * g->size;
  int64_t tables = w.table[1] + (int64_t)grid_table_rows(g->side_w) * g->size;
  w.tasks = g->slices * g->down * g->across * g->heads;
  w.groups = sums && w.tasks > GROUPS ? GROUPS : w.tasks;
  w.floats = sums ? tables + 2 * g->embed : 0;
  w.sums = (tables + 15) / 16 * 16;
  w.shares = w.sums + (w.groups * w.floats + 15) / 16 * 16;
  w.share = share_make(g, call->backward, NULL, &share);
  return w;
}

GridShare grid_share(const Call *call, const GridWhole *w) {
  GridShare share;
  share_make(&w->g, call->backward,
             (float *)call->scratch + w->shares + w->share * omp_get_thread_num(), &share);
  return share;
}

/* ---- tables ---------------------------------------------------------------------------------- */

void grid_table_read(const Call *call, const GridWhole *w, int axis) {
  const GridAttentionOptions *o = call->options;
  const float *from = input_data(call, GRID_TABLE_H + axis);
  float *to = (float *)call->scratch + w->table[axis];
  int64_t length = call->in[GRID_TABLE_H + axis].dim[0], size = w->g.size, at[2];
  int64_t rows = grid_table_rows(axis ? w->g.side_w : w->g.side_h);
  double share[2];
  if (!from) memset(to, 0, (size_t)(rows * size) * sizeof *to);
  for (int64_t r = 0; from && r < rows; r++) {
    grid_table_row(o->tables, r, length, rows, at, share);
    float low = (float)share[0], high = (float)share[1];
    for (int64_t c = 0; c < size; c++)
      to[r * size + c] = low * from[at[0] * size + c] + high * from[at[1] * size + c];
  }
}

void grid_table_gradient(const Call *call, const GridWhole *w, int axis, const float *sums) {
  const GridAttentionOptions *o = call->options;
  const Tensor *table = &call->din[GRID_TABLE_H + axis];
  float *to = table->data;
  int64_t rows = grid_table_rows(axis ? w->g.side_w : w->g.side_h), size = w->g.size, at[2];
  double share[2];
  if (!to) return;
  memset(to, 0, tensor_bytes(table));
  for (int64_t r = 0; r < rows; r++) {
    grid_table_row(o->tables, r, table->dim[0], rows, at, share);
    for (int i = 0; i < 2; i++)
      for (int64_t c = 0; c < size; c++)
        to[at[i] * size + c] += (float)share[i] * sums[r * size + c];
  }
}

/* ---- a window and a tile of its queries ------------------------------------------------------ */

GridTask grid_task(const GridSizes *g, int64_t at) {
  GridTask t = {.w = grid_window(g, at / g->heads), .head = (int)(at % g->heads)};
  t.keys = (int64_t)t.w.key_rows * t.w.key_columns;
  return t;
}

/* A head's q, k or v (part 0, 1, 2) of key (y, x) of a tensor like qkv. */
static float *part_of(const GridWhole *w, const GridTask *t, const Tensor *qkv, int y, int x,
                      int part) {
  int64_t token = t->w.first + (int64_t)y * w->g.width + x, embed = w->g.embed;
  return (float *)qkv->data + (3 * token + part) * embed + t->head * w->g.size;
}

static bool is_padding(const GridTask *t, int y, int x) {
  return y >= t->w.rows || x >= t->w.columns;
}

void grid_keys_pack(const Call *call, const GridWhole *w, const GridTask *t, const GridShare *s) {
  int64_t size = w->g.size, embed = w->g.embed;
  float scale = 1 / sqrtf((float)size), *k = s->k, *v = s->v;
  for (int y = 0; y < t->w.key_rows; y++)
    for (int x = 0; x < t->w.key_columns; x++, k += size, v += size) {
      const float *from = is_padding(t, y, x)
                              ? (const float *)call->in[GRID_PAD].data + embed + t->head * size
                              : part_of(w, t, &call->in[GRID_QKV], y, x, 1);
      for (int64_t c = 0; c < size; c++) k[c] = scale * from[c];
      memcpy(v, from + embed, (size_t)size * sizeof *v);
    }
}

void grid_keys_unpack(const Call *call, const GridWhole *w, const GridTask *t, const GridShare *s,
                      float *pad) {
  int64_t size = w->g.size, embed = w->g.embed;
  float scale = 1 / sqrtf((float)size), *dk = s->dk, *dv = s->dv;
  for (int y = 0; y < t->w.key_rows; y++)
    for (int x = 0; x < t->w.key_columns; x++, dk += size, dv += size) {
      bool padding = is_padding(t, y, x);
      if (padding && pad)
        for (int64_t c = 0; c < size; c++) {
          pad[t->head * size + c] += scale * dk[c];
          pad[embed + t->head * size + c] += dv[c];
        }
      if (padding || !call->din[GRID_QKV].data) continue;
      float *to = part_of(w, t, &call->din[GRID_QKV], y, x, 1);
      for (int64_t c = 0; c < size; c++) to[c] = scale * dk[c];
      memcpy(to + embed, dv, (size_t)size * sizeof *dv);
    }
}

static int64_t registers_of(const GridTask *t) {
  return ((int64_t)t->w.rows * t->w.columns + VEC - 1) / VEC;
}

int64_t grid_tile_count(const GridTask *t) {
  return (registers_of(t) + GRID_LANES / VEC - 1) / (GRID_LANES / VEC);
}

GridTile grid_tile(const GridWhole *w, const GridTask *t, int64_t at) {
  int64_t all = (int64_t)t->w.rows * t->w.columns, tiles = grid_tile_count(t),
          vecs = registers_of(t);
  int64_t first = at * vecs / tiles * VEC, end = (at + 1) * vecs / tiles * VEC;
  GridTile tile = {.lanes = (int)(end - first), .count = (int)((end < all ? end : all) - first)};
  for (int i = 0; i < tile.count; i++) {
    int y = (int)((first + i) / t->w.columns), x = (int)((first + i) % t->w.columns);
    int here[2] = {y, x};
    tile.token[i] = t->w.first + (int64_t)y * w->g.width + x;
    for (int axis = 0; axis < 2; axis++) {
      tile.place[axis][i] = here[axis];
      if (i == 0 || here[axis] < tile.low[axis]) tile.low[axis] = here[axis];
      if (i == 0 || here[axis] > tile.high[axis]) tile.high[axis] = here[axis];
    }
  }
  return tile;
}

void grid_tile_pack(const GridWhole *w, const GridTile *tile, const float *from, int64_t step,
                    float *rows, float *lanes) {
  int64_t size = w->g.size, n = tile->lanes;
  for (int i = 0; i < tile->count; i++)
    memcpy(rows + i * size, from + tile->token[i] * step, (size_t)size * sizeof *rows);
  memset(rows + tile->count * size, 0, (size_t)((n - tile->count) * size) * sizeof *rows);
  for (int64_t i = 0; i < n; i += VEC)
    for (int64_t c = 0; c < size; c++)
      for (int j = 0; j < VEC; j++) lanes[c * n + i + j] = rows[(i + j) * size + c];
}

/* The table row that query i of the tile reads for the first key row or column; for the following
 * ones it is one less each. Counted from the first that the tile reaches. */
static int turned_row(const GridTile *tile, int axis, int side, int i) {
  return tile->place[axis][i] - tile->low[axis] + side - 1;
}

static int turned_rows(const GridTile *tile, int axis, int side) {
  return tile->high[axis] - tile->low[axis] + side;
}

void grid_positions(const Call *call, const GridWhole *w, const GridTask *t, const GridTile *tile,
                    const GridShare *s, int axis) {
  int side = axis ? w->g.side_w : w->g.side_h, size = w->g.size, n = tile->lanes;
  int keys = axis ? t->w.key_columns : t->w.key_rows;
  float *bias = s->bias[axis];
  product(&(Product){.rows = turned_rows(tile, axis, side),
                     .columns = n,
                     .depth = size,
                     .a = (float *)call->scratch + w->table[axis] + tile->low[axis] * size,
                     .a_row = size,
                     .a_k = 1,
                     .b = s->q_lanes,
                     .b_k = n,
                     .c = s->turned,
                     .c_row = n});
  for (int i = 0; i < n; i++) {
    const float *from = s->turned + turned_row(tile, axis, side, i < tile->count ? i : 0) * n + i;
    for (int key = 0; key < keys; key++) bias[key * n + i] = from[-key * n];
  }
}

void grid_positions_back(const Call *call, const GridWhole *w, const GridTask *t,
                         const GridTile *tile, const GridShare *s, int axis, float *table) {
  int side = axis ? w->g.side_w : w->g.side_h, n = tile->lanes;
  int rows = turned_rows(tile, axis, side), keys = axis ? t->w.key_columns : t->w.key_rows;
  int64_t first = (int64_t)tile->low[axis] * w->g.size;
  memset(s->turned, 0, (size_t)(rows * n) * sizeof(float));
  for (int i = 0; i < tile->count; i++) {
    float *to = s->turned + turned_row(tile, axis, side, i) * n + i;
    for (int key = 0; key < keys; key++) to[-key * n] = s->sum[axis][key * n + i];
  }
  grid_queries_add(w, tile, rows, s->turned, (float *)call->scratch + w->table[axis] + first, true,
                   s->y);
  if (table) grid_keys_add(w, tile, rows, s->turned, s->q, true, table + first);
}

void grid_scores(const GridWhole *w, const GridTile *tile, int64_t keys, const float *rows,
                 const float *lanes, float *to) {
  product(&(Product){.rows = keys,
                     .columns = tile->lanes,
                     .depth = w->g.size,
                     .a = rows,
                     .a_row = w->g.size,
                     .a_k = 1,
                     .b = lanes,
                     .b_k = tile->lanes,
                     .c = to,
                     .c_row = tile->lanes});
}

void grid_queries_add(const GridWhole *w, const GridTile *tile, int64_t count, const float *weight,
                      const float *rows, bool add, float *to) {
  product(&(Product){.rows = tile->count,
                     .columns = w->g.size,
                     .depth = count,
                     .a = weight,
                     .a_row = 1,
                     .a_k = tile->lanes,
                     .b = rows,
                     .b_k = w->g.size,
                     .c = to,
                     .c_row = w->g.size,
                     .add = add});
}

void grid_keys_add(const GridWhole *w, const GridTile *tile, int64_t count, const float *weight,
                   const float *rows, bool add, float *to) {
  product(&(Product){.rows = count,
                     .columns = w->g.size,
                     .depth = tile->count,
                     .a = weight,
                     .a_row = tile->lanes,
                     .a_k = 1,
                     .b = rows,
                     .b_k = w->g.size,
                     .c = to,
                     .c_row = w->g.size,
                     .add = add});
}
