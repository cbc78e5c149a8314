/* Attention in tiles without a score matrix (Dao et al. 2022), laid out so that nothing is summed
 * across a register's lanes: one side's tokens are the lanes (a tile of at most 2 registers, its
 * rows transposed), the other side's rows stream by in blocks of 64. Forward and dq: lanes are
 * queries; dk and dv: lanes are keys. Scores are thus computed twice in backward (7 products
 * instead of 5), but every result belongs to one tile: no reduction, the same bits for any number
 * of threads. Bound by FLOP and, with 8 channels a head, by exp. */
#include "kernels/cpu/attention_matrix.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vec_exp.h"

#include <math.h>
#include <omp.h>

enum { IN_Q, IN_K, IN_V, IN_MASK };
enum { OUT_Y, OUT_LSE };
enum { LANES = 2 * VEC, BLOCK = 64 };
enum {
  CHANNELS = VEC_BYTES == 64 ? 8 : 4
};                                  /* whose sums for two registers of lanes fit in registers */
static const float CLOSED = -1e30f; /* finite: a row's maximum may be this until a key is open */

extern const Op op_attention_float;

typedef struct Sizes {
  int64_t samples, heads, queries, keys, width, size; /* size: channels a head */
  float scale;
  bool mask;
} Sizes;

static Sizes sizes_of(const Call *call) {
  const Tensor *q = &call->in[IN_Q], *k = &call->in[IN_K];
  Sizes s = {.samples = q->dim[0], .width = tensor_last(q)};
  s.heads = ((const AttentionOptions *)call->options)->heads;
  s.queries = tensor_rows(q) / s.samples;
  s.keys = tensor_rows(k) / s.samples;
  s.size = s.width / s.heads;
  s.scale = 1 / sqrtf((float)s.size);
  s.mask = call->n_in > IN_MASK;
  return s;
}

/* A thread's share of scratch. Lane tiles are (size, lanes), blocks (BLOCK, lanes). */
typedef struct Share {
  float *lane[2], *sum[2]; /* operands as lanes, results as lanes */
  float *p, *dp, *open;    /* blocks; open: the mask with keys as lanes */
} Share;

static size_t share_bytes(const Sizes *s) {
  return (size_t)(4 * s->size + 3 * BLOCK) * LANES * sizeof(float);
}

/* Scratch begins with two tables for all threads, delta (N, heads, Tq) and shut (N, Tq); a whole
 * register may be read behind the last element. */
static int64_t delta_count(const Sizes *s) {
  return s->samples * s->heads * s->queries / LANES * LANES + LANES;
}

static int64_t shut_count(const Sizes *s) {
  return s->mask ? s->samples * s->queries / LANES * LANES + 2 * LANES : 0;
}

/* -1 for queries whose keys are all shut by the mask (so all count), else 0. */
static float *shut_of(const Call *call, const Sizes *s, int64_t n) {
  return (float *)call->scratch + delta_count(s) + n * s->queries;
}

static Share share_of(const Call *call, const Sizes *s) {
  char *start = (char *)((float *)call->scratch + delta_count(s) + shut_count(s));
  float *at = (float *)(void *)(start + share_bytes(s) * (size_t)omp_get_thread_num());
  Share share;
  float **parts[] = {&share.lane[0], &share.lane[1], &share.sum[0], &share.sum[1],
                     &share.p,       &share.dp,      &share.open};
  int64_t rows[] = {s->size, s->size, s->size, s->size, BLOCK, BLOCK, BLOCK};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    *parts[i] = at;
    at += rows[i] * LANES;
  }
  return share;
}

static bool naive(const Call *call) {
  return ((const AttentionOptions *)call->options)->naive;
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  if (naive(call)) {
    call->scratch_bytes = attention_matrix_scratch(call);
    return true;
  }
  Sizes s = sizes_of(call);
  size_t tables = (size_t)(delta_count(&s) + shut_count(&s)) * sizeof(float);
  size_t reference = (size_t)s.keys * sizeof(double);
  call->scratch_bytes = tables + share_bytes(&s) * (size_t)omp_get_max_threads();
  if (call->scratch_bytes < reference) call->scratch_bytes = reference;
  return true;
}

/* One tile of one head: `count` tokens of the lane side from `first` on. */
typedef struct Tile {
  int64_t n, head, first, count;
  int vecs; /* registers it fills, 1 or 2 */
} Tile;

static Tile tile_of(const Sizes *s, int64_t tokens, int64_t task) {
  int64_t tiles = (tokens + LANES - 1) / LANES;
  Tile t = {.n = task / (tiles * s->heads), .head = task / tiles % s->heads};
  t.first = task % tiles * LANES;
  t.count = tokens - t.first < LANES ? tokens - t.first : LANES;
  t.vecs = t.count > VEC ? 2 : 1;
  return t;
}

static int64_t tile_tasks(const Sizes *s, int64_t tokens) {
  return s->samples * s->heads * ((tokens + LANES - 1) / LANES);
}

/* This head's channels of token `first` of sample n in a (N, tokens, E) tensor. */
static float *rows_of(const Sizes *s, const Tensor *tensor, const Tile *t, int64_t first) {
  int64_t tokens = tensor_rows(tensor) / s->samples;
  return (float *)tensor->data + (t->n * tokens + first) * s->width + t->head * s->size;
}

/* Rows of the tile's tokens, scaled, as lanes; lanes without a token are zero. */
static void pack(const Sizes *s, const Tile *t, const Tensor *from, float scale, float *lanes) {
  const float *rows = rows_of(s, from, t, t->first);
  int64_t step = t->vecs * VEC;
  memset(lanes, 0, (size_t)(s->size * step) * sizeof *lanes);
  for (int64_t i = 0; i < t->count; i++)
    for (int64_t c = 0; c < s->size; c++) lanes[c * step + i] = rows[i * s->width + c] * scale;
}

static void unpack(const Sizes *s, const Tile *t, const float *lanes, float scale,
                   const Tensor *to) {
  float *rows = rows_of(s, to, t, t->first);
  int64_t step = t->vecs * VEC;
  for (int64_t i = 0; i < t->count; i++)
    for (int64_t c = 0; c < s->size; c++) rows[i * s->width + c] = lanes[c * step + i] * scale;
}

/* ---- the two products ------------------------------------------------------------------------ */

#define UNROLLED static inline __attribute__((always_inline))

UNROLLED void scores_of(const float *lanes, const float *row, int64_t step, int64_t size, int rows,
                        int vecs, float *out) {
  Vec sum[4][2] = {{{0}}};
  for (int64_t c = 0; c < size; c++)
    for (int v = 0; v < vecs; v++) {
      Vec lane = vec_load(lanes + (c * vecs + v) * VEC);
      for (int r = 0; r < rows; r++) sum[r][v] += lane * row[r * step + c];
    }
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < vecs; v++) vec_store(out + (r * vecs + v) * VEC, sum[r][v]);
}

UNROLLED void products_of(const float *lanes, const float *row, int64_t step, int64_t size,
                          int64_t count, int vecs, float *out) {
  int64_t i = 0;
  for (; i + 4 <= count; i += 4)
    scores_of(lanes, row + i * step, step, size, 4, vecs, out + i * vecs * VEC);
  for (; i < count; i++)
    scores_of(lanes, row + i * step, step, size, 1, vecs, out + i * vecs * VEC);
}

/* out[i][lane] = sum_c lanes[c][lane] rows[i][c] */
static void products(const Sizes *s, const Tile *t, const float *lanes, const float *rows,
                     int64_t count, float *out) {
  if (t->vecs == 1)
    products_of(lanes, rows, s->width, s->size, count, 1, out);
  else
    products_of(lanes, rows, s->width, s->size, count, 2, out);
}

UNROLLED void channels_add(const float *p, const float *row, int64_t step, int64_t count,
                           int channels, int vecs, float *sum) {
  Vec total[CHANNELS][2];
  for (int c = 0; c < channels; c++)
    for (int v = 0; v < vecs; v++) total[c][v] = vec_load(sum + (c * vecs + v) * VEC);
  for (int64_t i = 0; i < count; i++)
    for (int v = 0; v < vecs; v++) {
      Vec weight = vec_load(p + (i * vecs + v) * VEC);
      for (int c = 0; c < channels; c++) total[c][v] += weight * row[i * step + c];
    }
  for (int c = 0; c < channels; c++)
    for (int v = 0; v < vecs; v++) vec_store(sum + (c * vecs + v) * VEC, total[c][v]);
}

UNROLLED void accumulate_of(const float *p, const float *row, int64_t step, int64_t size,
                            int64_t count, int vecs, float *sum) {
  int64_t c = 0;
  for (; c + CHANNELS <= size; c += CHANNELS)
    channels_add(p, row + c, step, count, CHANNELS, vecs, sum + c * vecs * VEC);
  for (; c < size; c++) channels_add(p, row + c, step, count, 1, vecs, sum + c * vecs * VEC);
}

/* sum[c][lane] += sum_i p[i][lane] rows[i][c] */
static void accumulate(const Sizes *s, const Tile *t, const float *p, const float *rows,
                       int64_t count, float *sum) {
  if (t->vecs == 1)
    accumulate_of(p, rows, s->width, s->size, count, 1, sum);
  else
    accumulate_of(p, rows, s->width, s->size, count, 2, sum);
}

/* ---- masks ----------------------------------------------------------------------------------- */

/* Queries among themselves are few: one thread has done them before a second has woken up. */
static bool is_large(const Sizes *s) {
  return s->samples * s->queries * s->keys * s->width > PARALLEL_LEAST;
}

/* One register of mask logits of one key and the tile's queries. Lanes behind the last query may
 * hold the next key's numbers: nobody reads their results. */
static inline Vec mask_load(const Call *call, const Sizes *s, int64_t n, int64_t key,
                            int64_t query) {
  const float *mask = call->in[IN_MASK].data;
  int64_t end = s->samples * s->keys * s->queries, at = (n * s->keys + key) * s->queries + query;
  return at + VEC <= end ? vec_load(mask + at) : vec_load_part(mask + at, end - at);
}

static void find_shut(const Call *call, const Sizes *s) {
  int64_t vecs = (s->queries + VEC - 1) / VEC;
  vec_store(shut_of(call, s, s->samples), vec_splat(0)); /* lanes behind the last query */
#pragma omp parallel for schedule(static) if (is_large(s))
  for (int64_t task = 0; task < s->samples * vecs; task++) {
    int64_t n = task / vecs, query = task % vecs * VEC, count = s->queries - query;
    IntVec open = {0};
    for (int64_t key = 0; key < s->keys; key++) open |= mask_load(call, s, n, key, query) >= 0;
    Vec shut = vec_select(open, vec_splat(0), vec_splat(-1));
    vec_store_part(shut_of(call, s, n) + query, shut, count < VEC ? count : VEC);
  }
}

/* Lanes are queries: closes the scores of keys that the mask shuts. */
static void close_keys(const Call *call, const Sizes *s, const Tile *t, int64_t key, int64_t count,
                       float *scores) {
  for (int v = 0; v < t->vecs; v++) {
    int64_t query = t->first + v * VEC;
    IntVec whole = vec_load(shut_of(call, s, t->n) + query) < 0;
    for (int64_t i = 0; i < count; i++) {
      float *at = scores + (i * t->vecs + v) * VEC;
      IntVec open = (mask_load(call, s, t->n, key + i, query) >= 0) | whole;
      vec_store(at, vec_select(open, vec_load(at), vec_splat(CLOSED)));
    }
  }
}

/* Lanes are keys: the same, by the transposed mask. */
static void close_queries(const Call *call, const Sizes *s, const Tile *t, int64_t query,
                          int64_t count, float *open, float *scores) {
  const float *shut = shut_of(call, s, t->n) + query;
  int64_t lanes = t->vecs * VEC;
  if (t->count < lanes) memset(open, 0, (size_t)(count * lanes) * sizeof *open);
  for (int64_t lane = 0; lane < t->count; lane++) {
    const float *mask = call->in[IN_MASK].data;
    mask += (t->n * s->keys + t->first + lane) * s->queries + query;
    for (int64_t i = 0; i < count; i++) open[i * lanes + lane] = mask[i];
  }
  for (int64_t i = 0; i < count; i++) {
    IntVec whole = vec_splat(shut[i]) < 0;
    for (int64_t at = i * lanes; at < (i + 1) * lanes; at += VEC)
      vec_store(scores + at, vec_select((vec_load(open + at) >= 0) | whole, vec_load(scores + at),
                                        vec_splat(CLOSED)));
  }
}

/* ---- forward --------------------------------------------------------------------------------- */

/* The highest of a block's scores and of what was highest before; four chains hide the latency. */
UNROLLED Vec highest(const float *scores, int64_t lanes, int64_t count, Vec before) {
  Vec best[4] = {before, before, before, before};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4)
    for (int k = 0; k < 4; k++) best[k] = vec_max(best[k], vec_load(scores + (i + k) * lanes));
  for (; i < count; i++) best[0] = vec_max(best[0], vec_load(scores + i * lanes));
  return vec_max(vec_max(best[0], best[1]), vec_max(best[2], best[3]));
}

/* Turns a block of scores into exp(score - new maximum); what was summed under the old maximum,
 * `total` and `sum`, is scaled to the new one. */
static void soften(const Sizes *s, int64_t lanes, int64_t count, float *p, float *top, float *total,
                   float *sum) {
  for (int64_t lane = 0; lane < lanes; lane += VEC) {
    Vec old = vec_load(top + lane), best = highest(p + lane, lanes, count, old);
    vec_store(top + lane, best);
    Vec fade = vec_exp(old - best), part = {0};
    for (float *at = p + lane; at < p + count * lanes; at += lanes) {
      Vec e = vec_exp(vec_load(at) - best);
      vec_store(at, e);
      part += e;
    }
    vec_store(total + lane, vec_fma(vec_load(total + lane), fade, part));
    for (float *at = sum + lane; at < sum + s->size * lanes; at += lanes)
      vec_store(at, vec_load(at) * fade);
  }
}

static void forward_tile(const Call *call, const Sizes *s, const Tile *t) {
  Share share = share_of(call, s);
  int64_t lanes = t->vecs * VEC;
  float *q = share.lane[0], *sum = share.sum[0], total[LANES] = {0}, top[LANES];
  pack(s, t, &call->in[IN_Q], s->scale, q);
  memset(sum, 0, (size_t)(s->size * lanes) * sizeof *sum);
  for (int64_t lane = 0; lane < LANES; lane++) top[lane] = CLOSED;
  for (int64_t key = 0; key < s->keys; key += BLOCK) {
    int64_t count = s->keys - key < BLOCK ? s->keys - key : BLOCK;
    products(s, t, q, rows_of(s, &call->in[IN_K], t, key), count, share.p);
    if (s->mask) close_keys(call, s, t, key, count, share.p);
    soften(s, lanes, count, share.p, top, total, sum);
    accumulate(s, t, share.p, rows_of(s, &call->in[IN_V], t, key), count, sum);
  }
  float *lse = call->out[OUT_LSE].data;
  lse += (t->n * s->heads + t->head) * s->queries + t->first;
  for (int64_t lane = 0; lane < t->count; lane++) lse[lane] = top[lane] + logf(total[lane]);
  for (int64_t c = 0; c < s->size; c++)
    for (int64_t lane = 0; lane < lanes; lane++) sum[c * lanes + lane] /= total[lane];
  unpack(s, t, sum, 1, &call->out[OUT_Y]);
}

static void forward(const Call *call) {
  if (naive(call)) {
    attention_matrix_forward(call);
    return;
  }
  Sizes s = sizes_of(call);
  if (s.mask) find_shut(call, &s);
#pragma omp parallel for schedule(static) if (is_large(&s))
  for (int64_t task = 0; task < tile_tasks(&s, s.queries); task++) {
    Tile t = tile_of(&s, s.queries, task);
    forward_tile(call, &s, &t);
  }
}

/* ---- backward -------------------------------------------------------------------------------- */

/* delta = out . dout - dlse of every query of every head, as lse lies. */
static void find_delta(const Call *call, const Sizes *s) {
  const float *y = call->out[OUT_Y].data, *dy = call->dout[OUT_Y].data;
  const float *dlse = call->dout[OUT_LSE].data;
  float *delta = call->scratch;
#pragma omp parallel for schedule(static) if (is_large(s))
  for (int64_t at = 0; at < s->samples * s->heads * s->queries; at++) {
    int64_t n = at / (s->heads * s->queries), head = at / s->queries % s->heads;
    int64_t first = (n * s->queries + at % s->queries) * s->width + head * s->size;
    float sum = dlse ? -dlse[at] : 0;
    for (int64_t c = 0; c < s->size; c++) sum += y[first + c] * dy[first + c];
    delta[at] = sum;
  }
}

/* dq of a tile of queries: sum over keys of p (v . dout - delta) k. */
static void query_tile(const Call *call, const Sizes *s, const Tile *t) {
  Share share = share_of(call, s);
  int64_t lanes = t->vecs * VEC, at = (t->n * s->heads + t->head) * s->queries + t->first;
  float lse[LANES] = {0}, delta[LANES] = {0}, *sum = share.sum[0];
  memcpy(lse, (const float *)call->out[OUT_LSE].data + at, (size_t)t->count * sizeof *lse);
  memcpy(delta, (const float *)call->scratch + at, (size_t)t->count * sizeof *delta);
  pack(s, t, &call->in[IN_Q], s->scale, share.lane[0]);
  pack(s, t, &call->dout[OUT_Y], 1, share.lane[1]);
  memset(sum, 0, (size_t)(s->size * lanes) * sizeof *sum);
  for (int64_t key = 0; key < s->keys; key += BLOCK) {
    int64_t count = s->keys - key < BLOCK ? s->keys - key : BLOCK;
    const float *k = rows_of(s, &call->in[IN_K], t, key);
    float *p = share.p, *dp = share.dp;
    products(s, t, share.lane[0], k, count, p);
    if (s->mask) close_keys(call, s, t, key, count, p);
    products(s, t, share.lane[1], rows_of(s, &call->in[IN_V], t, key), count, dp);
    for (int64_t lane = 0; lane < lanes; lane += VEC) {
      Vec shift = vec_load(lse + lane), mean = vec_load(delta + lane);
      for (int64_t j = lane; j < count * lanes; j += lanes)
        vec_store(dp + j, vec_exp(vec_load(p + j) - shift) * (vec_load(dp + j) - mean));
    }
    accumulate(s, t, dp, k, count, sum);
  }
  unpack(s, t, sum, s->scale, &call->din[IN_Q]);
}

/* dk and dv of a tile of keys: sums over queries of p (v . dout - delta) q and of p dout. */
static void key_tile(const Call *call, const Sizes *s, const Tile *t) {
  Share share = share_of(call, s);
  int64_t lanes = t->vecs * VEC, at = (t->n * s->heads + t->head) * s->queries;
  const float *lse = (const float *)call->out[OUT_LSE].data + at;
  const float *delta = (const float *)call->scratch + at;
  float *dk = share.sum[0], *dv = share.sum[1];
  pack(s, t, &call->in[IN_K], s->scale, share.lane[0]);
  pack(s, t, &call->in[IN_V], 1, share.lane[1]);
  memset(dk, 0, (size_t)(s->size * lanes) * sizeof *dk);
  memset(dv, 0, (size_t)(s->size * lanes) * sizeof *dv);
  for (int64_t query = 0; query < s->queries; query += BLOCK) {
    int64_t count = s->queries - query < BLOCK ? s->queries - query : BLOCK;
    const float *q = rows_of(s, &call->in[IN_Q], t, query);
    const float *dy = rows_of(s, &call->dout[OUT_Y], t, query);
    float *p = share.p, *dp = share.dp;
    products(s, t, share.lane[0], q, count, p);
    if (s->mask) close_queries(call, s, t, query, count, share.open, p);
    products(s, t, share.lane[1], dy, count, dp);
    for (int64_t i = 0; i < count; i++)
      for (int64_t j = i * lanes; j < (i + 1) * lanes; j += VEC) {
        Vec e = vec_exp(vec_load(p + j) - lse[query + i]);
        vec_store(p + j, e);
        vec_store(dp + j, e * (vec_load(dp + j) - delta[query + i]));
      }
    accumulate(s, t, dp, q, count, dk);
    accumulate(s, t, p, dy, count, dv);
  }
  if (call->din[IN_K].data) unpack(s, t, dk, s->scale, &call->din[IN_K]);
  if (call->din[IN_V].data) unpack(s, t, dv, 1, &call->din[IN_V]);
}

static void backward(const Call *call) {
  Sizes s = sizes_of(call);
  if (naive(call)) {
    attention_matrix_backward(call);
    return;
  }
  /* A gradient of the log-sum-exp alone: no model asks for it, so it may be slow. */
  if (!call->dout[OUT_Y].data) {
    op_attention_float.reference.backward(call);
    return;
  }
  find_delta(call, &s);
  if (s.mask) find_shut(call, &s);
  int64_t query_tasks = call->din[IN_Q].data ? tile_tasks(&s, s.queries) : 0;
  int64_t key_tasks = call->din[IN_K].data || call->din[IN_V].data ? tile_tasks(&s, s.keys) : 0;
#pragma omp parallel for schedule(static) if (is_large(&s))
  for (int64_t task = 0; task < query_tasks; task++) {
    Tile t = tile_of(&s, s.queries, task);
    query_tile(call, &s, &t);
  }
#pragma omp parallel for schedule(static) if (is_large(&s))
  for (int64_t task = 0; task < key_tasks; task++) {
    Tile t = tile_of(&s, s.keys, task);
    key_tile(call, &s, &t);
  }
}

const Kernel attention_cpu = {
    .forward = forward, .backward = backward, .prepare = prepare, .float_only = true};
