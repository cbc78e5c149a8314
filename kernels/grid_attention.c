/* Self-attention within the slices of a volume, each by itself, over the whole slice or in square
 * windows of it, with decomposed relative positions (SAM: Kirillov et al. 2023, after MViTv2: Li et
 * al. 2022, eq. 4). qkv (N, D, h, w, 3E) has q, k and v in turn, each head by head, d = E / heads
 * channels a head. For query (y, x) and key (y', x') of a window of S_h x S_w tokens:
 *   s = q . k / sqrt(d) + q . table_h[y - y' + S_h - 1] + q . table_w[x - x' + S_w - 1]
 *   lse = log sum exp s;  p = exp(s - lse);  out = sum p v
 * The tables (rows, d) are those of all heads. One that has other than 2 S - 1 rows is stretched to
 * them (linear, align_corners false), or cut at both ends alike.
 * Windows begin at (0, 0); the last of a row or column may reach beyond the border. What it has
 * there is no query; as keys it takes part with the k and v of `pad` (3E), all the same (SAM pads
 * what its qkv layer reads by zeros, so theirs is that layer's bias); without `pad` it is masked.
 * Backward recomputes p, delta = out . dout:
 *   ds = p (v . dout - delta);  dv = sum p dout;  dk = sum ds q / sqrt(d)
 *   dq = sum ds (k / sqrt(d) + table_h + table_w)
 *   dtable_h[r] = sum of ds q where y - y' + S_h - 1 = r, over all heads and windows.
 * Cost 4 E FLOP a pair of tokens. */
#include "kernels/grid.h"

#include <math.h>
#include <string.h>

static const Option options[] = {
    {"heads", OPTION_INT, offsetof(GridAttentionOptions, heads), 1, 1, 64, NULL, NULL,
     "heads; they divide the width"},
    {"window", OPTION_INT, offsetof(GridAttentionOptions, window), 0, 0, 4096, NULL, NULL,
     "side of the windows in tokens; 0: the whole slice"},
    {"tables", OPTION_CHOICE, offsetof(GridAttentionOptions, tables), GRID_TABLES_STRETCH, 0, 1,
     "stretch|crop", NULL, "a table of other than 2 S - 1 rows: interpolated, or cut at both ends"},
    {0}};

enum { SAVES_ALL = SAVES_ALL_IN | SAVES_OUT(GRID_Y) | SAVES_OUT(GRID_LSE) };

/* ---- the row --------------------------------------------------------------------------------- */

static bool table_fits(const Call *call, int i, int side, Error *error) {
  const GridAttentionOptions *o = call->options;
  const Tensor *table = &call->in[i];
  int64_t size = tensor_last(&call->in[GRID_QKV]) / 3 / o->heads, rows = grid_table_rows(side);
  if (tensor_absent(table)) return true;
  if (table->rank != 2 || table->dim[1] != size || table->dim[0] < 1)
    return fail(error, "grid_attention: table_%c is (%lld, %lld) for %d heads of qkv %s, found %s",
                i == GRID_TABLE_H ? 'h' : 'w', (long long)rows, (long long)size, o->heads,
                tensor_shape_text(&call->in[GRID_QKV]), tensor_shape_text(table));
  if (o->tables == GRID_TABLES_CROP && (table->dim[0] < rows || (table->dim[0] - rows) % 2))
    return fail(error,
                "grid_attention: of table_%c %s %lld rows cannot be cut from the middle; "
                "tables=stretch interpolates",
                i == GRID_TABLE_H ? 'h' : 'w', tensor_shape_text(table), (long long)rows);
  return true;
}

static bool shape(Call *call, Error *error) {
  const GridAttentionOptions *o = call->options;
  const Tensor *qkv = &call->in[GRID_QKV], *pad = &call->in[GRID_PAD];
  if (qkv->rank != 5 || tensor_last(qkv) % 3)
    return fail(error, "grid_attention: qkv is (N, D, h, w, 3E), found %s", tensor_shape_text(qkv));
  if (o->heads < 1 || tensor_last(qkv) / 3 % o->heads)
    return fail(error, "grid_attention: %d heads do not divide the width %lld", o->heads,
                (long long)tensor_last(qkv) / 3);
  GridSizes g = grid_sizes(call);
  if (!table_fits(call, GRID_TABLE_H, g.side_h, error) ||
      !table_fits(call, GRID_TABLE_W, g.side_w, error))
    return false;
  if (g.padded && (pad->rank != 1 || pad->dim[0] != tensor_last(qkv)))
    return fail(error, "grid_attention: pad is (%lld) to go with qkv %s, found %s",
                (long long)tensor_last(qkv), tensor_shape_text(qkv), tensor_shape_text(pad));
  call->out[GRID_Y] = tensor_make(qkv->type, 5, qkv->dim);
  call->out[GRID_Y].dim[4] = g.embed;
  call->out[GRID_LSE] = call->out[GRID_Y];
  call->out[GRID_LSE].dim[4] = g.heads;
  return true;
}

static void cost(const Call *call, Cost *cost) {
  GridSizes g = grid_sizes(call);
  double pairs = 0, tokens = (double)g.height * g.width;
  for (int64_t at = 0; at < (int64_t)g.down * g.across; at++) {
    GridWindow w = grid_window(&g, at);
    pairs += (double)w.rows * w.columns * w.key_rows * w.key_columns;
  }
  double product = 2.0 * g.embed * pairs,
         positions = 2.0 * g.embed * tokens * (g.side_h + g.side_w);
  cost->flops =
      (double)g.slices * (call->backward ? 5 * product + 3 * positions : 2 * product + positions);
}

/* ---- reference ------------------------------------------------------------------------------- */

/* Scratch, doubles. */
typedef struct Work {
  double *table[2], *dtable[2]; /* (2 S - 1, d) each */
  double *dpad;                 /* (3E) */
  double *s;                    /* of a query, a key each */
} Work;

static size_t work_make(const Call *call, const GridSizes *g, Work *work) {
  double *at = call->scratch;
  int64_t rows[2] = {grid_table_rows(g->side_h), grid_table_rows(g->side_w)}, count = 0;
  double **part[] = {&work->table[0],  &work->dtable[0], &work->table[1],
                     &work->dtable[1], &work->dpad,      &work->s};
  int64_t counts[] = {rows[0] * g->size, rows[0] * g->size, rows[1] * g->size,
                      rows[1] * g->size, 3 * g->embed,      (int64_t)g->side_h * g->side_w};
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    *part[i] = at ? at + count : NULL;
    count += counts[i];
  }
  return (size_t)count * sizeof *at;
}

/* Between a table and the rows that are made of it; back: the gradient. */
static void table_move(const Call *call, const GridSizes *g, int axis, double *made, bool back) {
  const GridAttentionOptions *o = call->options;
  const Tensor *table = &call->in[GRID_TABLE_H + axis];
  const REAL *from = input_data(call, GRID_TABLE_H + axis);
  REAL *gradient = call->din[GRID_TABLE_H + axis].data;
  int64_t rows = grid_table_rows(axis ? g->side_w : g->side_h);
  if (back && gradient) memset(gradient, 0, tensor_bytes(table));
  for (int64_t r = 0; r < rows; r++) {
    int64_t at[2] = {0, 0};
    double share[2];
    grid_table_row(o->tables, r, table->dim[0], rows, at, share);
    for (int64_t c = 0; c < g->size; c++)
      if (!back)
        made[r * g->size + c] =
            from ? share[0] * from[at[0] * g->size + c] + share[1] * from[at[1] * g->size + c] : 0;
      else
        for (int i = 0; gradient && i < 2; i++)
          gradient[at[i] * g->size + c] += (REAL)(share[i] * made[r * g->size + c]);
  }
}

/* A query of a head and its window. */
typedef struct Query {
  GridWindow w;
  int y, x, head;
  int64_t token; /* row of the token matrix */
} Query;

/* Row of the token matrix of key (y, x); -1: padding. */
static int64_t key_token(const GridSizes *g, const GridWindow *w, int y, int x) {
  return y < w->rows && x < w->columns ? w->first + (int64_t)y * g->width + x : -1;
}

/* A head's q, k or v (part 0, 1, 2) of a row of qkv; of padding that of `pad`. */
static const REAL *part_of(const Call *call, const GridSizes *g, int64_t token, int part,
                           int head) {
  const REAL *from = token < 0 ? call->in[GRID_PAD].data : call->in[GRID_QKV].data;
  return from + (token < 0 ? 0 : token) * 3 * g->embed + part * g->embed + head * g->size;
}

static double dot(const REAL *a, const REAL *b, int64_t count) {
  double sum = 0;
  for (int64_t c = 0; c < count; c++) sum += (double)a[c] * b[c];
  return sum;
}

static const double *position(const GridSizes *g, const double *table, int offset, int side) {
  return table + (int64_t)(offset + side - 1) * g->size;
}

static void scores(const Call *call, const GridSizes *g, const Work *work, const Query *query) {
  const REAL *q = part_of(call, g, query->token, 0, query->head);
  const GridWindow *w = &query->w;
  double scale = 1 / sqrt((double)g->size), *s = work->s;
  for (int y = 0; y < w->key_rows; y++)
    for (int x = 0; x < w->key_columns; x++) {
      const double *h = position(g, work->table[0], query->y - y, g->side_h);
      const double *v = position(g, work->table[1], query->x - x, g->side_w);
      double sum = scale * dot(q, part_of(call, g, key_token(g, w, y, x), 1, query->head), g->size);
      for (int c = 0; c < g->size; c++) sum += q[c] * (h[c] + v[c]);
      *s++ = sum;
    }
}

static void forward_query(const Call *call, const GridSizes *g, const Work *work,
                          const Query *query) {
  const GridWindow *w = &query->w;
  int64_t keys = (int64_t)w->key_rows * w->key_columns;
  REAL *y = (REAL *)call->out[GRID_Y].data + query->token * g->embed + query->head * g->size;
  double *s = work->s, top = -INFINITY, total = 0;
  scores(call, g, work, query);
  for (int64_t t = 0; t < keys; t++) top = fmax(top, s[t]);
  for (int64_t t = 0; t < keys; t++) total += s[t] = exp(s[t] - top);
  for (int c = 0; c < g->size; c++) {
    double sum = 0;
    for (int64_t t = 0; t < keys; t++) {
      int64_t token = key_token(g, w, (int)(t / w->key_columns), (int)(t % w->key_columns));
      sum += s[t] * part_of(call, g, token, 2, query->head)[c];
    }
    y[c] = (REAL)(sum / total);
  }
  ((REAL *)call->out[GRID_LSE].data)[query->token * g->heads + query->head] =
      (REAL)(top + log(total));
}

/* What the key at t of the query's window gives and gets. */
static void backward_key(const Call *call, const GridSizes *g, const Work *work, const Query *query,
                         int64_t t, double p, double ds) {
  const GridWindow *w = &query->w;
  int y = (int)(t / w->key_columns), x = (int)(t % w->key_columns);
  int64_t token = key_token(g, w, y, x), head = query->head * g->size;
  const REAL *q = part_of(call, g, query->token, 0, query->head);
  const REAL *k = part_of(call, g, token, 1, query->head);
  const REAL *dy = (const REAL *)call->dout[GRID_Y].data + query->token * g->embed + head;
  REAL *dqkv = call->din[GRID_QKV].data;
  double scale = 1 / sqrt((double)g->size), *dpad = work->dpad + head;
  for (int c = 0; c < g->size; c++) {
    int64_t h = (int64_t)(query->y - y + g->side_h - 1) * g->size + c;
    int64_t v = (int64_t)(query->x - x + g->side_w - 1) * g->size + c;
    double dk = ds * scale * q[c], dv = p * dy[c];
    work->dtable[0][h] += ds * q[c];
    work->dtable[1][v] += ds * q[c];
    if (token < 0) dpad[g->embed + c] += dk, dpad[2 * g->embed + c] += dv;
    if (!dqkv) continue;
    dqkv[query->token * 3 * g->embed + head + c] +=
        (REAL)(ds * (scale * k[c] + work->table[0][h] + work->table[1][v]));
    if (token < 0) continue;
    dqkv[token * 3 * g->embed + g->embed + head + c] += (REAL)dk;
    dqkv[token * 3 * g->embed + 2 * g->embed + head + c] += (REAL)dv;
  }
}

static void backward_query(const Call *call, const GridSizes *g, const Work *work,
                           const Query *query) {
  const GridWindow *w = &query->w;
  int64_t at = query->token * g->embed + query->head * g->size;
  const REAL *y = (const REAL *)call->out[GRID_Y].data + at;
  const REAL *dy = (const REAL *)call->dout[GRID_Y].data + at;
  double lse = ((const REAL *)call->out[GRID_LSE].data)[query->token * g->heads + query->head];
  double delta = dot(y, dy, g->size);
  scores(call, g, work, query);
  for (int64_t t = 0; t < (int64_t)w->key_rows * w->key_columns; t++) {
    int64_t token = key_token(g, w, (int)(t / w->key_columns), (int)(t % w->key_columns));
    double p = exp(work->s[t] - lse);
    double dp = dot(part_of(call, g, token, 2, query->head), dy, g->size);
    backward_key(call, g, work, query, t, p, p * (dp - delta));
  }
}

static void each_query(const Call *call, const GridSizes *g, const Work *work,
                       void (*visit)(const Call *, const GridSizes *, const Work *,
                                     const Query *)) {
  for (int64_t at = 0; at < g->slices * g->down * g->across; at++) {
    Query query = {.w = grid_window(g, at)};
    for (query.head = 0; query.head < g->heads; query.head++)
      for (query.y = 0; query.y < query.w.rows; query.y++)
        for (query.x = 0; query.x < query.w.columns; query.x++) {
          query.token = key_token(g, &query.w, query.y, query.x);
          visit(call, g, work, &query);
        }
  }
}

static void forward(const Call *call) {
  GridSizes g = grid_sizes(call);
  Work work;
  work_make(call, &g, &work);
  for (int axis = 0; axis < 2; axis++) table_move(call, &g, axis, work.table[axis], false);
  each_query(call, &g, &work, forward_query);
}

static void backward(const Call *call) {
  GridSizes g = grid_sizes(call);
  REAL *dpad = call->din[GRID_PAD].data;
  Work work;
  memset(call->scratch, 0, work_make(call, &g, &work));
  for (int axis = 0; axis < 2; axis++) table_move(call, &g, axis, work.table[axis], false);
  if (call->din[GRID_QKV].data)
    memset(call->din[GRID_QKV].data, 0, tensor_bytes(&call->din[GRID_QKV]));
  if (call->dout[GRID_Y].data) each_query(call, &g, &work, backward_query);
  for (int axis = 0; axis < 2; axis++) table_move(call, &g, axis, work.dtable[axis], true);
  for (int c = 0; dpad && c < 3 * g.embed; c++) dpad[c] = (REAL)work.dpad[c];
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  GridSizes g = grid_sizes(call);
  Work work;
  call->scratch = NULL;
  call->scratch_bytes = work_make(call, &g, &work);
  return true;
}

const Op OP_ROW(grid_attention) = {
    .name = "grid_attention",
    .doc = "self-attention within slices or windows of them, with decomposed relative positions",
    .min_in = 3,
    .max_in = 4,
    .n_out = 2,
    .optional = SAVES_IN(GRID_TABLE_H) | SAVES_IN(GRID_TABLE_W) | SAVES_IN(GRID_PAD),
    .saves = {[GRID_QKV] = SAVES_ALL,
              [GRID_TABLE_H] = SAVES_ALL,
              [GRID_TABLE_W] = SAVES_ALL,
              [GRID_PAD] = SAVES_ALL},
    .options = options,
    .options_bytes = sizeof(GridAttentionOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward, .prepare = prepare},
};
