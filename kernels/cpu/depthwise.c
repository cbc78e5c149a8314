#include "kernels/cpu/depthwise.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/parallel.h"

#include <string.h>

#define EVERY _Pragma("GCC unroll 32") /* sums stay in registers only where loops are gone */

enum { MOST_TAPS = 7, MOST_LINES = 64, PIECES = 16, LEAST_LINES = 8 };

/* ---- a register of channels, perhaps not whole ----------------------------------------------- */

INLINE Vec part_load(const void *data, int64_t i, int64_t lanes, DType type) {
  if (lanes == VEC) return real_load(data, i, type);
  if (type != BF16) return vec_load_part((const float *)data + i, lanes);
  Bf16 half[VEC] = {0};
  memcpy(half, real_at(data, i, type), (size_t)lanes * sizeof *half);
  return vec_load_bf16(half);
}

INLINE void part_store(void *data, int64_t i, Vec v, int64_t lanes, DType type) {
  if (lanes == VEC) {
    real_store(data, i, v, type);
  } else if (type != BF16) {
    vec_store_part((float *)data + i, v, lanes);
  } else {
    Bf16 half[VEC];
    vec_store_bf16(half, v);
    memcpy(real_at(data, i, type), half, (size_t)lanes * sizeof *half);
  }
}

/* ---- a line of results along W --------------------------------------------------------------- */

/* Result j is the sum over lines and taps t of w[t] x[first + j step + t]. */
typedef struct Row {
  DType type;
  int64_t channels;
  int count; /* lines of x, one a plane and line of the kernel that stay inside */
  const void *line[MOST_LINES];
  const float *w[MOST_LINES]; /* (taps, channels) with w_step between taps, of each line */
  int64_t w_step;
  const float *b;
  int taps, step;
  int64_t first, length; /* voxels: under tap 0 of result 0, of a line of x */
  int64_t results, y_step;
  void *y;
} Row;

/* `outs` neighbouring results whose taps stay inside, of a whole register of channels. */
INLINE void block(const Row *r, int64_t j, int64_t c, const int outs, const int taps,
                  const int step, const DType type) {
  Vec sum[8], w[MOST_TAPS], start = r->b ? vec_load(r->b + c) : (Vec){0};
  int64_t from = (r->first + j * step) * r->channels + c;
  EVERY for (int o = 0; o < outs; o++) sum[o] = start;
  for (int i = 0; i < r->count; i++) {
    EVERY for (int t = 0; t < taps; t++) w[t] = vec_load(r->w[i] + t * r->w_step + c);
    EVERY for (int p = 0; p < (outs - 1) * step + taps; p++) {
      Vec x = real_load(r->line[i], from + p * r->channels, type);
      EVERY for (int t = 0; t < taps;
                 t++) if (p >= t && (p - t) % step == 0 && (p - t) / step < outs)
          sum[(p - t) / step] = vec_fma(x, w[t], sum[(p - t) / step]);
    }
  }
  EVERY for (int o = 0; o < outs; o++)
      real_store(r->y, (j + o) * r->y_step * r->channels + c, sum[o], type);
}

/* One result without taps that leave the line; `vecs` registers of channels, of `lanes` each. */
INLINE void single_as(const Row *r, int64_t j, int64_t c, const int vecs, int64_t lanes,
                      const DType type) {
  int64_t from = r->first + j * r->step;
  int64_t low = from < 0 ? -from : 0,
          high = r->length - from < r->taps ? r->length - from : r->taps;
  Vec sum[4];
  EVERY for (int v = 0; v < vecs; v++) sum[v] =
      r->b ? part_load(r->b, c + v * VEC, lanes, F32) : (Vec){0};
  for (int i = 0; i < r->count; i++)
    for (int64_t t = low; t < high; t++) EVERY for (int v = 0; v < vecs; v++) {
        Vec x = part_load(r->line[i], (from + t) * r->channels + c + v * VEC, lanes, type);
        sum[v] = vec_fma(x, part_load(r->w[i], t * r->w_step + c + v * VEC, lanes, F32), sum[v]);
      }
  EVERY for (int v = 0; v < vecs; v++)
      part_store(r->y, j * r->y_step * r->channels + c + v * VEC, sum[v], lanes, type);
}

INLINE void single_of(const Row *r, int64_t j, int64_t c, const DType type) {
  for (; c + 4 * VEC <= r->channels; c += 4 * VEC) single_as(r, j, c, 4, VEC, type);
  for (; c < r->channels; c += VEC)
    single_as(r, j, c, 1, r->channels - c < VEC ? r->channels - c : VEC, type);
}

static void single(const Row *r, int64_t j, int64_t c) {
  TYPED(single_of, r->type, r, j, c);
}

/* Blocks of 8 or 4, the last of them moved back over what is there already. */
INLINE void row_blocks(const Row *r, int64_t low, int64_t high, const int taps, const int step,
                       const DType type) {
  int64_t j = low;
  while (j < high) {
    bool wide = high - low >= 8 && high - j > 4;
    int64_t outs = wide ? 8 : 4, at = j + outs <= high ? j : high - outs;
    for (int64_t c = 0; c + VEC <= r->channels; c += VEC)
      if (wide)
        block(r, at, c, 8, taps, step, type);
      else
        block(r, at, c, 4, taps, step, type);
    j = at + outs;
  }
}

/* The results all of whose taps are inside. */
typedef struct Span {
  int64_t low, high; /* the last and one more */
} Span;

static Span inner_span(int64_t first, int64_t length, int64_t results, int taps, int step) {
  int64_t room = length - taps - first; /* of the first voxel of a result's taps */
  Span span = {first < 0 ? (-first + step - 1) / step : 0, room < 0 ? 0 : room / step + 1};
  if (span.high > results) span.high = results;
  if (span.high < span.low) span.high = span.low;
  return span;
}

#define FOR_TAPS(CASE, step) CASE(1, step) CASE(2, step) CASE(3, step) CASE(5, step) CASE(7, step)
/* Those of a phase of the transposed form too. */
#define FOR_ALL(CASE) FOR_TAPS(CASE, 1) CASE(4, 1) FOR_TAPS(CASE, 2)
enum { KINDS = 8 };

INLINE void row_run(const Row *r, const DType type) {
  int64_t whole = r->channels / VEC * VEC;
  Span s = inner_span(r->first, r->length, r->results, r->taps, r->step);
  if (s.high - s.low < 4 || !whole || !r->count) s.low = s.high = 0;
  for (int64_t j = 0; j < r->results; j++)
    if (j < s.low || j >= s.high)
      single(r, j, 0);
    else if (whole < r->channels)
      single(r, j, whole);
  if (s.low == s.high) return;
  switch (r->step * KINDS + r->taps) {
#define CASE(taps, step)                                                                           \
  case step *KINDS + taps:                                                                         \
    row_blocks(r, s.low, s.high, taps, step, type);                                                \
    break;
    FOR_ALL(CASE)
#undef CASE
  }
}

/* ---- lines under lines ----------------------------------------------------------------------- */

static int64_t before(const Depthwise *d, int a) {
  return (d->kernel[a] - 1) / 2;
}

/* Where a line of a map lies: sample, plane, line of it. */
typedef struct At {
  int64_t sample, z, y;
} At;

static At at_of(const int64_t *map, int64_t line) {
  return (At){line / (map[0] * map[1]), line / map[1] % map[0], line % map[1]};
}

static int64_t line_of(const int64_t *map, At at) {
  return (at.sample * map[0] + at.z) * map[1] + at.y;
}

/* The line of the big map that tap (kd, kh) joins with one of the small map; false: outside. */
static bool line_over(const Depthwise *d, At small, int64_t kd, int64_t kh, At *big) {
  *big = (At){small.sample, small.z * d->stride[0] + kd - before(d, 0),
              small.y * d->stride[1] + kh - before(d, 1)};
  return big->z >= 0 && big->z < d->big[0] && big->y >= 0 && big->y < d->big[1];
}

/* The other way round. */
static bool line_under(const Depthwise *d, At big, int64_t kd, int64_t kh, At *small) {
  int64_t z = big.z + before(d, 0) - kd, y = big.y + before(d, 1) - kh;
  if (z < 0 || y < 0 || z % d->stride[0] || y % d->stride[1]) return false;
  *small = (At){big.sample, z / d->stride[0], y / d->stride[1]};
  return small->z < d->small[0] && small->y < d->small[1];
}

typedef bool Joined(const Depthwise *d, At from, int64_t kd, int64_t kh, At *to);

static void find_lines(const Depthwise *d, const void *x, const int64_t *map, At from,
                       Joined *joined, const float *w, Row *r) {
  r->count = 0;
  for (int64_t k = 0; k < d->kernel[0] * d->kernel[1]; k++) {
    At to;
    if (!joined(d, from, k / d->kernel[1], k % d->kernel[1], &to)) continue;
    r->line[r->count] = real_at(x, line_of(map, to) * map[2] * d->channels, d->type);
    r->w[r->count++] = w + k * d->kernel[2] * d->channels;
  }
}

/* ---- the two directions ---------------------------------------------------------------------- */

/* Scratch: the weights as (taps, channels), and a register beyond. */
static size_t weights_floats(const Depthwise *d) {
  int64_t floats = d->kernel[0] * d->kernel[1] * d->kernel[2] * d->channels + VEC;
  return (size_t)(floats + 15) / 16 * 16;
}

static void turn_weights(const Depthwise *d, const float *w, float *to) {
  int64_t taps = d->kernel[0] * d->kernel[1] * d->kernel[2];
  for (int64_t t = 0; t < taps; t++)
    for (int64_t c = 0; c < d->channels; c++) to[t * d->channels + c] = w[c * taps + t];
}

static Row row_from(const Depthwise *d, const float *b, int64_t length) {
  return (Row){.type = d->type, .channels = d->channels, .b = b, .length = length};
}

static bool is_large(const Depthwise *d) {
  return d->samples * d->big[0] * d->big[1] * d->big[2] * d->channels > PARALLEL_LEAST;
}

void depthwise_gather(const Depthwise *d, const void *big, const float *w, const float *b,
                      void *small, void *scratch) {
  turn_weights(d, w, scratch);
#pragma omp parallel for schedule(static) if (is_large(d))
  for (int64_t line = 0; line < d->samples * d->small[0] * d->small[1]; line++) {
    Row r = row_from(d, b, d->big[2]);
    find_lines(d, big, d->big, at_of(d->small, line), line_over, scratch, &r);
    r.w_step = d->channels;
    r.taps = (int)d->kernel[2];
    r.step = (int)d->stride[2];
    r.first = -before(d, 2);
    r.results = d->small[2];
    r.y_step = 1;
    r.y = real_at(small, line * d->small[2] * d->channels, d->type);
    TYPED(row_run, d->type, &r);
  }
}

/* Results of one remainder r of u + p by the stride s read taps r, r + s, ..., the last of them
 * from the earliest voxel. */
static void phase(const Depthwise *d, Row r, int64_t remainder, void *y) {
  int64_t s = d->stride[2], p = before(d, 2), u = (remainder - p % s + s) % s;
  r.taps = (int)((d->kernel[2] - remainder + s - 1) / s);
  r.results = u < d->big[2] ? (d->big[2] - u + s - 1) / s : 0;
  if (r.taps <= 0) r.taps = r.count = 0;
  int64_t last = remainder + s * (r.taps - 1);
  for (int i = 0; i < r.count; i++) r.w[i] += last * d->channels;
  r.w_step = -s * d->channels;
  r.step = 1;
  r.first = (u + p) / s - (r.taps - 1);
  r.y_step = s;
  r.y = real_at(y, u * d->channels, d->type);
  TYPED(row_run, d->type, &r);
}

void depthwise_spread(const Depthwise *d, const void *small, const float *w, const float *b,
                      void *big, void *scratch) {
  turn_weights(d, w, scratch);
#pragma omp parallel for schedule(static) if (is_large(d))
  for (int64_t line = 0; line < d->samples * d->big[0] * d->big[1]; line++) {
    Row r = row_from(d, b, d->small[2]);
    find_lines(d, small, d->small, at_of(d->big, line), line_under, scratch, &r);
    for (int64_t remainder = 0; remainder < d->stride[2]; remainder++)
      phase(d, r, remainder, real_at(big, line * d->big[2] * d->channels, d->type));
  }
}

/* ---- the gradient of the weights ------------------------------------------------------------- */

/* Two lines that a plane and a line of the kernel join: adds to sums (taps, channels). */
typedef struct Pair {
  DType type;
  const void *small, *big;
  float *sums;
  int taps, step;
  int64_t channels, first, length, results;
  Span inner;
} Pair;

/* `vecs` whole registers of channels. */
INLINE void pair_sums(const Pair *g, int64_t c, const int vecs, const int taps, const int step,
                      const DType type) {
  Vec sum[MOST_TAPS][2], s[4][2];
  EVERY for (int t = 0; t < taps; t++) EVERY for (int v = 0; v < vecs; v++) sum[t][v] =
      vec_load(g->sums + t * g->channels + c + v * VEC);
  int64_t j = g->inner.low;
  for (; j + 4 <= g->inner.high; j += 4) {
    int64_t from = (g->first + j * step) * g->channels + c;
    EVERY for (int o = 0; o < 4; o++) EVERY for (int v = 0; v < vecs; v++) s[o][v] =
        real_load(g->small, (j + o) * g->channels + c + v * VEC, type);
    EVERY for (int p = 0; p < 3 * step + taps; p++) EVERY for (int v = 0; v < vecs; v++) {
      Vec x = real_load(g->big, from + p * g->channels + v * VEC, type);
      EVERY for (int t = 0; t < taps; t++) if (p >= t && (p - t) % step == 0 && (p - t) / step < 4)
          sum[t][v] = vec_fma(x, s[(p - t) / step][v], sum[t][v]);
    }
  }
  EVERY for (int t = 0; t < taps; t++) EVERY for (int v = 0; v < vecs; v++)
      vec_store(g->sums + t * g->channels + c + v * VEC, sum[t][v]);
}

/* Voxels first .. end - 1 of the small line, taps that leave the other left out. */
INLINE void pair_edge(const Pair *g, int64_t first, int64_t end, int64_t c, const DType type) {
  for (int64_t j = first; j < end; j++)
    for (int64_t t = 0; t < g->taps; t++) {
      int64_t at = g->first + j * g->step + t;
      float *sums = g->sums + t * g->channels;
      if (at < 0 || at >= g->length) continue;
      int64_t i = c;
      for (; i + VEC <= g->channels; i += VEC)
        vec_store(sums + i,
                  vec_fma(real_load(g->small, j * g->channels + i, type),
                          real_load(g->big, at * g->channels + i, type), vec_load(sums + i)));
      for (; i < g->channels; i++)
        sums[i] += real_get(g->small, j * g->channels + i, type) *
                   real_get(g->big, at * g->channels + i, type);
    }
}

static void pair_edges(const Pair *g, int64_t first, int64_t end, int64_t c) {
  TYPED(pair_edge, g->type, g, first, end, c);
}

INLINE void pair_run(const Pair *g, const int taps, const int step, const DType type) {
  int64_t c = 0, whole = g->channels / VEC * VEC;
  int64_t high = g->inner.low + (g->inner.high - g->inner.low) / 4 * 4;
  if (taps <= 3)
    for (; c + 2 * VEC <= whole; c += 2 * VEC) pair_sums(g, c, 2, taps, step, type);
  for (; c < whole; c += VEC) pair_sums(g, c, 1, taps, step, type);
  pair_edges(g, 0, g->inner.low, 0);
  pair_edges(g, g->inner.low, high, whole);
  pair_edges(g, high, g->results, 0);
}

INLINE void pair_any(const Pair *g, const Depthwise *d, const DType type) {
  switch (d->stride[2] * KINDS + d->kernel[2]) {
#define CASE(taps, step)                                                                           \
  case step *KINDS + taps:                                                                         \
    pair_run(g, taps, step, type);                                                                 \
    break;
    FOR_TAPS(CASE, 1)
    FOR_TAPS(CASE, 2)
#undef CASE
  }
}

/* Every piece of the small map's lines has sums of its own. */
static int64_t lines_of(const Depthwise *d) {
  return d->samples * d->small[0] * d->small[1];
}

static int64_t pieces_of(const Depthwise *d) {
  int64_t pieces = lines_of(d) / LEAST_LINES;
  return pieces < 1 ? 1 : pieces < PIECES ? pieces : PIECES;
}

static void line_sums(const Depthwise *d, const void *small, const void *big, int64_t line,
                      float *sums) {
  Pair g = {.type = d->type,
            .taps = (int)d->kernel[2],
            .step = (int)d->stride[2],
            .channels = d->channels,
            .first = -before(d, 2),
            .length = d->big[2],
            .results = d->small[2],
            .small = real_at(small, line * d->small[2] * d->channels, d->type)};
  g.inner = inner_span(g.first, g.length, g.results, g.taps, g.step);
  for (int64_t k = 0; k < d->kernel[0] * d->kernel[1]; k++) {
    At to;
    if (!line_over(d, at_of(d->small, line), k / d->kernel[1], k % d->kernel[1], &to)) continue;
    g.big = real_at(big, line_of(d->big, to) * d->big[2] * d->channels, d->type);
    g.sums = sums + k * d->kernel[2] * d->channels;
    TYPED(pair_any, d->type, &g, d);
  }
}

void depthwise_weights(const Depthwise *d, const void *small, const void *big, float *dw,
                       void *scratch) {
  int64_t pieces = pieces_of(d), lines = lines_of(d), width = (int64_t)weights_floats(d);
  int64_t taps = d->kernel[0] * d->kernel[1] * d->kernel[2];
#pragma omp parallel for schedule(static) if (is_large(d))
  for (int64_t piece = 0; piece < pieces; piece++) {
    float *sums = (float *)scratch + piece * width;
    memset(sums, 0, (size_t)width * sizeof *sums);
    for (int64_t line = lines * piece / pieces; line < lines * (piece + 1) / pieces; line++)
      line_sums(d, small, big, line, sums);
  }
  for (int64_t t = 0; t < taps; t++)
    for (int64_t c = 0; c < d->channels; c++) {
      double sum = 0;
      for (int64_t piece = 0; piece < pieces; piece++)
        sum += (double)((const float *)scratch)[piece * width + t * d->channels + c];
      dw[c * taps + t] = (float)sum;
    }
}

bool depthwise_fits(const Depthwise *d) {
  int64_t k = d->kernel[2], s = d->stride[2];
  return (k <= 3 || k == 5 || k == 7) && (s == 1 || s == 2) &&
         d->kernel[0] * d->kernel[1] <= MOST_LINES;
}

size_t depthwise_scratch(const Depthwise *d) {
  return weights_floats(d) * (size_t)pieces_of(d) * sizeof(float);
}
