/* Tiles of columns: y's planes are rows of a product whose sums stay in registers, and so are dx's;
 * dw is dots of rows of dy and x, pieces of the columns apart, so that threads do not matter. */
#include "kernels/depth_mix.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile_product.h"

#include <omp.h>

/* TILE: columns, whole registers of each form; planes whose distance is a multiple of NEAR floats
 * would meet in few lines of the first cache. */
enum { TILE = 384, NEAR = 256, PIECES = 16 };

/* planes (samples, count, rest). */
typedef struct Planes {
  const Tensor *tensor;
  int64_t count;
} Planes;

typedef struct Rows {
  const float *data;
  int64_t step; /* from one row to the next */
} Rows;

static int64_t tiles_of(const DepthSizes *s) {
  return (s->rest + TILE - 1) / TILE;
}

static int64_t columns_of(const DepthSizes *s, int64_t tile) {
  int64_t left = s->rest - tile * TILE;
  return left < TILE ? left : TILE;
}

/* Where a tile's first row begins, in elements. */
static int64_t tile_start(const DepthSizes *s, int64_t item, int64_t planes) {
  return item / tiles_of(s) * planes * s->rest + item % tiles_of(s) * TILE;
}

/* Whether a product may read or write planes where they lie. */
static bool lies_apart(const DepthSizes *s, DType type) {
  return type == F32 && s->rest % NEAR;
}

/* The rows of a tile as floats: where they lie, or copied together. */
static Rows tile_rows(const DepthSizes *s, const Planes *p, int64_t item, float *copy) {
  int64_t start = tile_start(s, item, p->count), columns = columns_of(s, item % tiles_of(s));
  DType type = p->tensor->type;
  if (lies_apart(s, type)) return (Rows){(const float *)p->tensor->data + start, s->rest};
  for (int64_t row = 0; row < p->count; row++) {
    const void *from = real_at(p->tensor->data, start + row * s->rest, type);
    if (type == BF16)
      bf16_to_floats(copy + row * TILE, from, columns);
    else
      memcpy(copy + row * TILE, from, (size_t)columns * sizeof *copy);
  }
  return (Rows){copy, TILE};
}

/* ---- y and dx -------------------------------------------------------------------------------- */

/* to = w from + b, element (row, k) of w at row w_row + k w_k. */
typedef struct Mixing {
  DepthSizes s;
  Planes from, to;
  const float *w, *b;
  int64_t w_row, w_k;
} Mixing;

static void mix_tile(const Mixing *m, int64_t item, float *copies) {
  const Tensor *to = m->to.tensor;
  int64_t start = tile_start(&m->s, item, m->to.count);
  int64_t columns = columns_of(&m->s, item % tiles_of(&m->s));
  Rows rows = tile_rows(&m->s, &m->from, item, copies);
  float *apart = copies + m->from.count * TILE;
  bool direct = lies_apart(&m->s, to->type);
  product(&(Product){.rows = m->to.count,
                     .columns = columns,
                     .depth = m->from.count,
                     .a = m->w,
                     .a_row = m->w_row,
                     .a_k = m->w_k,
                     .b = rows.data,
                     .b_k = rows.step,
                     .c = direct ? (float *)to->data + start : apart,
                     .c_row = direct ? m->s.rest : TILE,
                     .each = m->b});
  for (int64_t row = 0; !direct && row < m->to.count; row++) {
    void *there = real_at(to->data, start + row * m->s.rest, to->type);
    if (to->type == BF16)
      bf16_from_floats(there, apart + row * TILE, columns);
    else
      memcpy(there, apart + row * TILE, (size_t)columns * sizeof *apart);
  }
}

/* One thread's copies of a tile. */
static int64_t copies_floats(const DepthSizes *s) {
  return (s->ins + s->outs) * TILE;
}

static bool is_large(const DepthSizes *s) {
  return s->samples * s->rest * (s->ins + s->outs) > PARALLEL_LEAST;
}

static void mix(const Mixing *m, float *scratch) {
  int64_t items = m->s.samples * tiles_of(&m->s), each = copies_floats(&m->s);
#pragma omp parallel for schedule(static) if (is_large(&m->s))
  for (int64_t item = 0; item < items; item++)
    mix_tile(m, item, scratch + omp_get_thread_num() * each);
}

/* ---- dw and db ------------------------------------------------------------------------------- */

enum { OUTS = 4, INS = 2 };
#define EVERY _Pragma("GCC unroll 4") /* sums stay in registers only where loops are gone */

INLINE Vec load(const float *from, int64_t lanes) {
  return lanes < VEC ? vec_load_part(from, lanes) : vec_load(from);
}

static double lanes_sum(Vec v) {
  double sum = 0;
  for (int lane = 0; lane < VEC; lane++) sum += (double)v[lane];
  return sum;
}

/* Adds the dots of `outs` rows of dy with `ins` of x, constants both, to sum, whose rows are
 * `width` apart. */
INLINE void dots(int outs, int ins, Rows dy, Rows x, int64_t columns, double *sum, int64_t width) {
  Vec total[OUTS][INS] = {{{0}}}, right[INS];
  for (int64_t c = 0; c < columns; c += VEC) {
    int64_t lanes = columns - c;
    EVERY for (int i = 0; i < ins; i++) right[i] = vec_keep(load(x.data + i * x.step + c, lanes));
    EVERY for (int o = 0; o < outs; o++) {
      Vec left = load(dy.data + o * dy.step + c, lanes);
      EVERY for (int i = 0; i < ins; i++) total[o][i] = vec_fma(left, right[i], total[o][i]);
    }
  }
  EVERY for (int o = 0; o < outs; o++) EVERY for (int i = 0; i < ins; i++) sum[o * width + i] +=
      lanes_sum(total[o][i]);
}

static void all_dots(const DepthSizes *s, Rows dy, Rows x, int64_t columns, double *sum) {
  for (int64_t o = 0; o < s->outs; o += OUTS)
    for (int64_t i = 0; i < s->ins; i += INS) {
      Rows a = {dy.data + o * dy.step, dy.step}, b = {x.data + i * x.step, x.step};
      double *to = sum + o * s->ins + i;
      if (s->outs - o >= OUTS && s->ins - i >= INS)
        dots(OUTS, INS, a, b, columns, to, s->ins);
      else
        for (int64_t p = 0; p < s->outs - o && p < OUTS; p++)
          for (int64_t q = 0; q < s->ins - i && q < INS; q++)
            dots(1, 1, (Rows){a.data + p * a.step, 0}, (Rows){b.data + q * b.step, 0}, columns,
                 to + p * s->ins + q, 0);
    }
}

static void row_sums(const DepthSizes *s, Rows dy, int64_t columns, double *sum) {
  for (int64_t o = 0; o < s->outs; o++) {
    Vec total = {0};
    for (int64_t c = 0; c < columns; c += VEC)
      total += load(dy.data + o * dy.step + c, columns - c);
    sum[o] += lanes_sum(total);
  }
}

static int64_t pieces_of(const DepthSizes *s) {
  int64_t items = s->samples * tiles_of(s);
  return items < PIECES ? items : PIECES;
}

/* Of a piece: dw, then db. */
static int64_t sums_count(const DepthSizes *s) {
  return s->outs * (s->ins + 1);
}

static void piece_sums(const Call *call, const DepthSizes *s, int64_t piece, double *sum,
                       float *copies) {
  Planes dy = {&call->dout[0], s->outs}, x = {&call->in[DEPTH_X], s->ins};
  int64_t items = s->samples * tiles_of(s), pieces = pieces_of(s);
  memset(sum, 0, (size_t)sums_count(s) * sizeof *sum);
  for (int64_t item = items * piece / pieces; item < items * (piece + 1) / pieces; item++) {
    int64_t columns = columns_of(s, item % tiles_of(s));
    Rows g = tile_rows(s, &dy, item, copies);
    if (call->din[DEPTH_W].data)
      all_dots(s, g, tile_rows(s, &x, item, copies + s->outs * TILE), columns, sum);
    if (call->din[DEPTH_B].data) row_sums(s, g, columns, sum + s->outs * s->ins);
  }
}

static void pieces_add(const DepthSizes *s, const double *sums, int64_t first, int64_t count,
                       float *to) {
  for (int64_t i = 0; to && i < count; i++) {
    double total = 0;
    for (int64_t piece = 0; piece < pieces_of(s); piece++)
      total += sums[piece * sums_count(s) + first + i];
    to[i] = (float)total;
  }
}

/* ---- the call -------------------------------------------------------------------------------- */

static size_t sums_bytes(const DepthSizes *s) {
  return ((size_t)(pieces_of(s) * sums_count(s)) * sizeof(double) + 63) / 64 * 64;
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  DepthSizes s = depth_sizes(call);
  call->scratch_bytes = (size_t)(copies_floats(&s) * omp_get_max_threads()) * sizeof(float);
  if (call->backward) call->scratch_bytes += sums_bytes(&s);
  return true;
}

static void forward(const Call *call) {
  DepthSizes s = depth_sizes(call);
  Mixing m = {.s = s,
              .from = {&call->in[DEPTH_X], s.ins},
              .to = {&call->out[0], s.outs},
              .w = call->in[DEPTH_W].data,
              .b = input_data(call, DEPTH_B),
              .w_row = s.ins,
              .w_k = 1};
  mix(&m, call->scratch);
}

static void backward(const Call *call) {
  DepthSizes s = depth_sizes(call);
  double *sums = call->scratch;
  float *copies = (float *)(void *)((char *)call->scratch + sums_bytes(&s));
  int64_t each = copies_floats(&s);
  if (call->din[DEPTH_X].data) {
    Mixing m = {.s = s,
                .from = {&call->dout[0], s.outs},
                .to = {&call->din[DEPTH_X], s.ins},
                .w = call->in[DEPTH_W].data,
                .w_row = 1,
                .w_k = s.ins};
    mix(&m, copies);
  }
  if (!call->din[DEPTH_W].data && !call->din[DEPTH_B].data) return;
#pragma omp parallel for schedule(static) if (is_large(&s))
  for (int64_t piece = 0; piece < pieces_of(&s); piece++)
    piece_sums(call, &s, piece, sums + piece * sums_count(&s),
               copies + omp_get_thread_num() * each);
  pieces_add(&s, sums, 0, s.outs * s.ins, call->din[DEPTH_W].data);
  pieces_add(&s, sums, s.outs * s.ins, s.outs, call->din[DEPTH_B].data);
}

const Kernel depth_mix_cpu = {.forward = forward,
                              .backward = backward,
                              .prepare = prepare,
                              .bf16 = SAVES_IN(DEPTH_X) | SAVES_OUT(0)};
