/* Attention within windows with decomposed positions, flash style: no score matrix is stored. A
 * block has rows of one window and one head and walks the other side; queries take their positions
 * from two small tables that the block makes, key rows and key columns of each query. In backward
 * the kernel of queries writes these for that of keys, (windows, heads, S_h + S_w, slots) floats of
 * scratch, and what ds sums to along key columns and key rows, from which the tables' gradients are
 * added up in a fixed order: no atomics. BF16 goes through tensor cores where its head size allows
 * (grid_mma.h), the rest through float arithmetic (grid_rows.h). */
#include "kernels/cuda/grid_mma.h"
#include "kernels/cuda/grid_rows.h"

#include <string.h>
#include <type_traits>

static constexpr int MOST_CHANNELS = 96, MOST_MMA = 80, TABLE_PARTS = 32;
static constexpr size_t MOST_SHARED = 99 << 10;

/* ---- sizes and scratch ----------------------------------------------------------------------- */

namespace {
/* Scratch, one after another, each aligned to 16 bytes. */
struct Scratch {
  float *table[2];                   /* (2 side - 1, size) */
  bf16 *by_row[2], *by_channel[2];   /* tensor cores */
  bf16 *pad;                         /* (3E), BF16 */
  float *lse, *delta, *bias, *along; /* backward; along: where tables' gradients are wanted */
  float *pads, *columns;             /* (slices, pads, 2E), where pad's gradient is wanted */
  float *partial, *tables;           /* (parts, rows of both, size), (rows of both, size) */
  size_t bytes;
};
} // namespace

static Grid grid_make(const Call *call) {
  Grid g = {};
  g.s = grid_sizes(call);
  g.scale = 1 / sqrtf((float)g.s.size);
  g.slots_w = (g.s.side_w + 7) / 8 * 8;
  g.slots = g.s.side_h * g.slots_w;
  g.both = g.s.side_h + g.s.side_w;
  g.windows = g.s.slices * g.s.down * g.s.across;
  return g;
}

/* Channels of a head as the kernels have them. */
static int mma_size(const Grid &g) {
  return g.s.size <= 16 ? 16 : g.s.size <= 32 ? 32 : g.s.size <= 64 ? 64 : MOST_MMA;
}

static size_t mma_bytes(const Grid &g, int warps, bool backward) {
  return mma_size(g) == 16   ? grid_mma_bytes<16>(g, warps, backward ? 2 : 1)
         : mma_size(g) == 32 ? grid_mma_bytes<32>(g, warps, backward ? 2 : 1)
         : mma_size(g) == 64 ? grid_mma_bytes<64>(g, warps, backward ? 2 : 1)
                             : grid_mma_bytes<MOST_MMA>(g, warps, backward ? 2 : 1);
}

/* Whether tensor cores serve: by the shape alone, so that prepare knows, and alike in both
 * directions. HARNESS_ATTENTION=float keeps to float arithmetic, to compare both. */
static bool is_mma(const Call *call, const Grid &g) {
  const char *form = getenv("HARNESS_ATTENTION");
  return call->in[GRID_QKV].type == BF16 && g.s.size % 8 == 0 && g.s.size <= MOST_MMA &&
         mma_bytes(g, 1, true) <= MOST_SHARED && !(form && strcmp(form, "float") == 0);
}

/* Warps of a block of so many rows: what shared memory has room for. */
static int mma_warps(const Grid &g, int rows, bool backward) {
  int warps = GRID_WARPS;
  while (warps > 1 &&
         ((warps / 2) * GRID_ROWS >= rows || mma_bytes(g, warps, backward) > MOST_SHARED))
    warps /= 2;
  return warps;
}

static int table_rows(const Grid &g, int axis) {
  return grid_table_rows(grid_side(g, axis));
}

static int table_pitch(const Grid &g, int axis) {
  return (table_rows(g, axis) + 15) / 16 * 16 + 16;
}

static bool tables_wanted(const Call *call) {
  return call->backward && (wants_of(call, GRID_TABLE_H) || wants_of(call, GRID_TABLE_W));
}

static bool pad_wanted(const Call *call) {
  return call->backward && wants_of(call, GRID_PAD);
}

template <typename T> static T *scratch_take(const Call *call, Scratch *s, int64_t count) {
  size_t at = s->bytes;
  s->bytes += ((size_t)count * sizeof(T) + 15) / 16 * 16;
  return call->scratch && count ? reinterpret_cast<T *>(static_cast<char *>(call->scratch) + at)
                                : NULL;
}

static Scratch scratch_make(const Call *call, const Grid &g) {
  Scratch s = {};
  bool mma = is_mma(call, g), half = call->in[GRID_QKV].type == BF16;
  int64_t queries = call->backward ? g.windows * g.s.heads * g.slots : 0;
  int64_t made =
      tables_wanted(call) ? (int64_t)(table_rows(g, 0) + table_rows(g, 1)) * g.s.size : 0;
  int64_t pads = pad_wanted(call) ? g.s.slices * grid_pads(g) * 2 * g.s.embed : 0;
  for (int axis = 0; axis < 2; axis++) {
    int64_t words = mma ? (int64_t)table_pitch(g, axis) * mma_size(g) : 0;
    s.table[axis] = scratch_take<float>(call, &s, (int64_t)table_rows(g, axis) * g.s.size);
    s.by_row[axis] = scratch_take<bf16>(call, &s, 2 * words);
    s.by_channel[axis] = scratch_take<bf16>(call, &s, words);
  }
  s.pad = scratch_take<bf16>(call, &s, half && g.s.padded ? 3 * g.s.embed : 0);
  s.lse = scratch_take<float>(call, &s, queries);
  s.delta = scratch_take<float>(call, &s, queries);
  s.bias = scratch_take<float>(call, &s, queries * g.both);
  s.along = scratch_take<float>(call, &s, made ? queries * g.both : 0);
  s.pads = scratch_take<float>(call, &s, pads);
  s.columns = scratch_take<float>(
      call, &s, pads ? (int64_t)(column_sums_scratch(2 * g.s.embed, 1) / sizeof(float)) : 0);
  s.partial = scratch_take<float>(call, &s, TABLE_PARTS * made);
  s.tables = scratch_take<float>(call, &s, made);
  return s;
}

/* Calls launch(channels of a head, rounded up). */
template <typename F> static void with_mma_size(const Grid &g, F launch) {
  if (mma_size(g) == 16) launch(std::integral_constant<int, 16>());
  if (mma_size(g) == 32) launch(std::integral_constant<int, 32>());
  if (mma_size(g) == 64) launch(std::integral_constant<int, 64>());
  if (mma_size(g) == MOST_MMA) launch(std::integral_constant<int, MOST_MMA>());
}

template <typename F> static void with_row_size(const Grid &g, F launch) {
  if (g.s.size <= 32) launch(std::integral_constant<int, 32>());
  if (g.s.size > 32) launch(std::integral_constant<int, MOST_CHANNELS>());
}

static bool prepare(Call *call, Error *error) {
  Grid g = grid_make(call);
  size_t rows = (size_t)(GRID_WARPS * grid_row_floats(g, MOST_CHANNELS, true)) * sizeof(float);
  if (g.s.size > MOST_CHANNELS || rows > MOST_SHARED)
    return fail(error,
                "grid_attention: on a GPU at most %d channels a head and windows of some 5,000 "
                "tokens around, found %d and %d x %d",
                MOST_CHANNELS, g.s.size, g.s.side_h, g.s.side_w);
  call->scratch = NULL;
  call->scratch_bytes = scratch_make(call, g).bytes;
  if (is_mma(call, g))
    with_mma_size(g, [&](auto size) {
      constexpr int SIZE = decltype(size)::value;
      allow_shared(grid_mma_forward<SIZE>,
                   grid_mma_bytes<SIZE>(g, mma_warps(g, g.slots, false), 1));
      allow_shared(grid_mma_query_gradient<SIZE>,
                   grid_mma_bytes<SIZE>(g, mma_warps(g, g.slots, true), 2));
    });
  with_row_size(g, [&](auto size) {
    constexpr int SIZE = decltype(size)::value;
    with_type(call->in[GRID_QKV].type, [&](auto zero) {
      using T = decltype(zero);
      allow_shared(grid_rows_forward<T, SIZE>, rows);
      allow_shared(grid_rows_query_gradient<T, SIZE>, rows);
      allow_shared(grid_rows_key_gradient<T, SIZE>, rows);
    });
  });
  return true;
}

/* ---- launching ------------------------------------------------------------------------------- */

/* Tables and pad as the kernels read them. */
static void parts_make(const Call *call, Grid *g, const Scratch &s) {
  const GridAttentionOptions *o = static_cast<const GridAttentionOptions *>(call->options);
  int width = is_mma(call, *g) ? mma_size(*g) : g->s.size;
  for (int axis = 0; axis < 2; axis++) {
    const Tensor *table = &call->in[GRID_TABLE_H + axis];
    int pitch = table_pitch(*g, axis);
    LAUNCH(grid_table_make, (unsigned)(pitch * width + GRID_THREADS - 1) / GRID_THREADS,
           GRID_THREADS, 0, call->stream, o->tables, (int)table->dim[0], table_rows(*g, axis),
           g->s.size, width, pitch,
           static_cast<const float *>(input_data(call, GRID_TABLE_H + axis)), s.table[axis],
           s.by_row[axis], s.by_channel[axis]);
    g->table[axis] = s.table[axis];
  }
  if (s.pad) cast(call->stream, 3 * g->s.embed, F32, call->in[GRID_PAD].data, BF16, s.pad);
}

static GridTablesHalf tables_half(const Grid &g, const Scratch &s) {
  return {{s.by_row[0], s.by_row[1]},
          {s.by_channel[0], s.by_channel[1]},
          {table_pitch(g, 0), table_pitch(g, 1)}};
}

/* Blocks of a window's rows, of which a block has `rows`. */
static int parts_of(int count, int rows) {
  return (count + rows - 1) / rows;
}

static dim3 blocks_of(const Grid &g, int parts) {
  return dim3((unsigned)(g.windows * parts), (unsigned)g.s.heads);
}

template <typename T> static const T *pad_of(const Call *call, const Grid &g, const Scratch &s) {
  if (!g.s.padded) return NULL;
  if constexpr (std::is_same_v<T, bf16>) return s.pad;
  return data_of<const T>(&call->in[GRID_PAD]);
}

static void forward(const Call *call) {
  Grid g = grid_make(call);
  Scratch s = scratch_make(call, g);
  int queries = g.s.side_h * g.s.side_w;
  float *lse = data_of<float>(&call->out[GRID_LSE]);
  parts_make(call, &g, s);
  if (is_mma(call, g)) {
    int warps = mma_warps(g, queries, false), parts = parts_of(queries, warps * GRID_ROWS);
    with_mma_size(g, [&](auto size) {
      constexpr int SIZE = decltype(size)::value;
      LAUNCH(grid_mma_forward<SIZE>, blocks_of(g, parts), warps * WARP,
             grid_mma_bytes<SIZE>(g, warps, 1), call->stream, g, tables_half(g, s), parts,
             data_of<const bf16>(&call->in[GRID_QKV]), pad_of<bf16>(call, g, s),
             data_of<bf16>(&call->out[GRID_Y]), lse);
    });
    return;
  }
  int parts = parts_of(queries, GRID_WARPS);
  with_row_size(g, [&](auto size) {
    constexpr int SIZE = decltype(size)::value;
    size_t bytes = (size_t)(GRID_WARPS * grid_row_floats(g, SIZE, false)) * sizeof(float);
    with_type(call->in[GRID_QKV].type, [&](auto zero) {
      using T = decltype(zero);
      LAUNCH((grid_rows_forward<T, SIZE>), blocks_of(g, parts), GRID_THREADS, bytes, call->stream,
             g, parts, data_of<const T>(&call->in[GRID_QKV]), pad_of<T>(call, g, s),
             data_of<T>(&call->out[GRID_Y]), lse);
    });
  });
}

template <typename T, int SIZE>
static void rows_backward(const Call *call, const Grid &g, const Scratch &s, int keys) {
  int queries = parts_of(g.s.side_h * g.s.side_w, GRID_WARPS), parts = parts_of(keys, GRID_WARPS);
  size_t query_bytes = (size_t)(GRID_WARPS * grid_row_floats(g, SIZE, true)) * sizeof(float);
  const T *qkv = data_of<const T>(&call->in[GRID_QKV]), *dy = data_of<const T>(&call->dout[GRID_Y]);
  T *dqkv = data_of<T>(&call->din[GRID_QKV]);
  const T *pad = pad_of<T>(call, g, s);
  QuerySums sums = {s.lse, s.delta};
  LAUNCH((grid_rows_query_gradient<T, SIZE>), blocks_of(g, queries), GRID_THREADS, query_bytes,
         call->stream, g, queries, qkv, pad, dy, sums, dqkv, s.bias, s.along);
  if (dqkv || s.pads)
    LAUNCH((grid_rows_key_gradient<T, SIZE>), blocks_of(g, parts), GRID_THREADS,
           GRID_WARPS * 2 * SIZE * sizeof(float), call->stream, g, parts, qkv, pad, dy, sums,
           s.bias, dqkv, s.pads);
}

template <int SIZE>
static void mma_backward(const Call *call, const Grid &g, const Scratch &s, int keys) {
  int queries = g.s.side_h * g.s.side_w, query_warps = mma_warps(g, queries, true);
  int key_warps = keys > 2 * GRID_ROWS ? GRID_WARPS : keys > GRID_ROWS ? 2 : 1;
  int query_parts = parts_of(queries, query_warps * GRID_ROWS);
  int parts = parts_of(keys, key_warps * GRID_ROWS);
  const bf16 *qkv = data_of<const bf16>(&call->in[GRID_QKV]);
  const bf16 *dy = data_of<const bf16>(&call->dout[GRID_Y]), *pad = pad_of<bf16>(call, g, s);
  bf16 *dqkv = data_of<bf16>(&call->din[GRID_QKV]);
  QuerySums sums = {s.lse, s.delta};
  LAUNCH(grid_mma_query_gradient<SIZE>, blocks_of(g, query_parts), query_warps * WARP,
         grid_mma_bytes<SIZE>(g, query_warps, 2), call->stream, g, tables_half(g, s), query_parts,
         qkv, pad, dy, sums, dqkv, s.bias, s.along);
  if (dqkv || s.pads)
    LAUNCH(grid_mma_key_gradient<SIZE>, blocks_of(g, parts), key_warps * WARP,
           grid_mma_bytes<SIZE>(g, 0, 0), call->stream, g, parts, qkv, pad, dy, sums, s.bias, dqkv,
           s.pads);
}

template <typename T>
static void table_gradients(const Call *call, const Grid &g, const Scratch &s) {
  const GridAttentionOptions *o = static_cast<const GridAttentionOptions *>(call->options);
  int rows[2] = {table_rows(g, 0), table_rows(g, 1)};
  int64_t heads = g.windows * g.s.heads;
  int parts = heads < TABLE_PARTS ? (int)heads : TABLE_PARTS;
  LAUNCH(grid_table_sums<T>, dim3((unsigned)(rows[0] + rows[1]), (unsigned)parts), GRID_THREADS, 0,
         call->stream, g, data_of<const T>(&call->in[GRID_QKV]), s.along, parts, s.partial);
  partials_sum(call->stream, 1, parts, (rows[0] + rows[1]) * g.s.size, s.partial, s.tables);
  for (int axis = 0; axis < 2; axis++) {
    const Tensor *table = &call->din[GRID_TABLE_H + axis];
    if (!table->data) continue;
    LAUNCH(grid_table_gradient, (unsigned)(tensor_count(table) + GRID_THREADS - 1) / GRID_THREADS,
           GRID_THREADS, 0, call->stream, o->tables, (int)table->dim[0], rows[axis], g.s.size,
           s.tables + (axis ? (int64_t)rows[0] * g.s.size : 0), data_of<float>(table));
  }
}

static void pad_gradient(const Call *call, const Grid &g, const Scratch &s) {
  float *to = data_of<float>(&call->din[GRID_PAD]);
  int64_t rows = g.s.slices * grid_pads(g);
  zero_bytes(call, to, tensor_bytes(&call->din[GRID_PAD]));
  if (rows)
    bias_gradient(call->stream, F32, rows, 2 * g.s.embed, s.pads, s.columns, to + g.s.embed);
}

static void backward(const Call *call) {
  if (!call->dout[GRID_Y].data) {
    zero_gradients(call);
    return;
  }
  Grid g = grid_make(call);
  Scratch s = scratch_make(call, g);
  GridWindow first = grid_window(&g.s, 0); /* the largest */
  int keys = first.key_rows * first.key_columns;
  parts_make(call, &g, s);
  with_type(call->in[GRID_QKV].type, [&](auto zero) {
    using T = decltype(zero);
    int64_t blocks = (g.windows * g.slots + GRID_WARPS - 1) / GRID_WARPS;
    LAUNCH(grid_query_sums<T>,
           dim3(grid_blocks(grid_query_sums<T>, GRID_THREADS, 0, blocks), (unsigned)g.s.heads),
           GRID_THREADS, 0, call->stream, g, data_of<const T>(&call->out[GRID_Y]),
           data_of<const T>(&call->dout[GRID_Y]), data_of<const float>(&call->out[GRID_LSE]),
           QuerySums{s.lse, s.delta});
    if constexpr (std::is_same_v<T, bf16>)
      if (is_mma(call, g))
        with_mma_size(g, [&](auto size) { mma_backward<decltype(size)::value>(call, g, s, keys); });
    if (!is_mma(call, g))
      with_row_size(g,
                    [&](auto size) { rows_backward<T, decltype(size)::value>(call, g, s, keys); });
    if (s.along) table_gradients<T>(call, g, s);
  });
  if (pad_wanted(call)) pad_gradient(call, g, s);
}

CUDA_KERNEL(grid_attention) = {.forward = forward,
                               .backward = backward,
                               .prepare = prepare,
                               .bf16 = SAVES_IN(GRID_QKV) | SAVES_OUT(GRID_Y),
                               .bf16_together = true};
