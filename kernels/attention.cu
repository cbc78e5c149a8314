/* Attention, flash style (Dao et al. 2022): no score matrix is stored, backward recomputes the
 * probabilities from log-sum-exp. Where queries are few and keys many (masked cross-attention) the
 * keys are split over blocks and their parts are added in a fixed order. A mask is read once for
 * all heads and kept as bits. Gradients of keys and values are summed by the block that owns the
 * keys: no atomics. BF16 goes through tensor cores where its head size allows (attention_mma.h),
 * the rest through float arithmetic (attention_rows.h). Bound by arithmetic; cross-attention with
 * few queries by reading k, v, mask. */
#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_naive.h"
#include "kernels/cuda/attention_rows.h"

#include <string.h>
#include <type_traits>

enum { IN_Q, IN_K, IN_V, IN_MASK };
enum { OUT_Y, OUT_LSE, OUT_P = OUT_LSE };
static constexpr int MOST_CHANNELS = 512;

static bool is_naive(const Call *call) {
  return static_cast<const AttentionOptions *>(call->options)->naive;
}

/* Whether the kernels read the mask in this direction. */
static bool is_masked(const Call *call) {
  return call->n_in > IN_MASK && !(is_naive(call) && call->backward);
}

/* ---- sizes and scratch ----------------------------------------------------------------------- */

namespace {
/* Scratch, one after another, each aligned to 16 bytes. */
struct Scratch {
  unsigned *open;              /* (N, Tq, words) */
  float *delta;                /* (N, heads, Tq), backward */
  float *part, *tops, *totals; /* (splits, N heads Tq, size), (splits, N heads Tq) twice */
  float *scores;               /* (N, heads, Tq, Tk), naive backward */
  size_t bytes;
};
} // namespace

/* Lanes that hold a row of queries or keys. */
static int row_lanes(int size) {
  int lanes = 1;
  while (lanes * 16 < size) lanes *= 2;
  return lanes;
}

/* Whether tensor cores serve: by the shape alone, so that prepare knows. The engine aligns what it
 * allocates to 64 bytes. HARNESS_ATTENTION=float keeps to float arithmetic, to compare both. */
static bool is_mma(const Call *call, const Heads *h) {
  const char *form = getenv("HARNESS_ATTENTION");
  return call->in[IN_Q].type == BF16 && !is_naive(call) && h->size % 8 == 0 && h->size <= 64 &&
         !(form && strcmp(form, "float") == 0);
}

static int mma_warps(int rows) {
  int warps = (rows + MMA_ROWS - 1) / MMA_ROWS;
  return warps < MMA_WARPS ? warps : MMA_WARPS;
}

/* Rows of `count` that a block takes. */
static int block_rows(const Call *call, const Heads *h, int count) {
  return is_mma(call, h) ? mma_warps(count) * MMA_ROWS : ROW_THREADS / row_lanes(h->size);
}

/* Parts of the keys: enough blocks to fill the device, at least 128 keys each. */
static void heads_split(const Call *call, Heads *h) {
  int64_t rows = block_rows(call, h, h->queries);
  int64_t blocks = (h->queries + rows - 1) / rows * h->samples * h->heads;
  int64_t wanted = resident_blocks(rows_forward<float, 16, 2>, ROW_THREADS, 0) / blocks;
  int64_t most = h->keys / 128, splits = wanted < most ? wanted : most;
  if (splits < 1) splits = 1;
  h->span = (int)((h->keys + splits - 1) / splits + 31) / 32 * 32;
  h->splits = (h->keys + h->span - 1) / h->span;
}

static Heads heads_make(const Call *call) {
  const Tensor *q = &call->in[IN_Q], *k = &call->in[IN_K];
  Heads h = {};
  h.samples = q->dim[0];
  h.heads = static_cast<const AttentionOptions *>(call->options)->heads;
  h.width = (int)tensor_last(q);
  h.size = h.width / h.heads;
  h.queries = (int)(tensor_rows(q) / h.samples);
  h.keys = (int)(tensor_rows(k) / h.samples);
  h.scale = 1 / sqrtf((float)h.size);
  h.words = (h.keys + 31) / 32;
  heads_split(call, &h);
  return h;
}

static void *scratch_take(const Call *call, Scratch *s, int64_t words) {
  size_t at = s->bytes;
  s->bytes += ((size_t)words * 4 + 15) / 16 * 16;
  return call->scratch && words ? static_cast<char *>(call->scratch) + at : NULL;
}

static Scratch scratch_make(const Call *call, const Heads *h) {
  Scratch s = {};
  bool naive = is_naive(call);
  int64_t rows = h->samples * h->heads * h->queries;
  int64_t parts = naive || h->splits == 1 ? 0 : h->splits * rows;
  s.open = static_cast<unsigned *>(
      scratch_take(call, &s, is_masked(call) ? h->samples * h->queries * h->words : 0));
  s.delta = static_cast<float *>(scratch_take(call, &s, call->backward ? rows : 0));
  s.part = static_cast<float *>(scratch_take(call, &s, parts * h->size));
  s.tops = static_cast<float *>(scratch_take(call, &s, call->backward ? 0 : parts));
  s.totals = static_cast<float *>(scratch_take(call, &s, call->backward ? 0 : parts));
  s.scores =
      static_cast<float *>(scratch_take(call, &s, naive && call->backward ? rows * h->keys : 0));
  return s;
}

static bool prepare(Call *call, Error *error) {
  Heads h = heads_make(call);
  if (h.size > MOST_CHANNELS || h.samples * h.heads > 65535)
    return fail(error,
                "attention: on a GPU at most %d channels a head and 65535 heads in a batch, "
                "found %d and %lld",
                MOST_CHANNELS, h.size, (long long)(h.samples * h.heads));
  call->scratch = NULL;
  call->scratch_bytes = scratch_make(call, &h).bytes;
  return true;
}

/* ---- launching ------------------------------------------------------------------------------- */

static dim3 heads_grid(const Heads *h, int x, int y) {
  return dim3((unsigned)x, (unsigned)y, (unsigned)(h->samples * h->heads));
}

/* Fills scratch with the mask's bits. */
static void mask_read(const Call *call, Heads *h, const Scratch *s) {
  if (!is_masked(call)) return;
  const Tensor *mask = &call->in[IN_MASK];
  int64_t rows = h->samples * h->queries;
  with_type(mask->type, [&](auto zero) {
    using T = decltype(zero);
    int side = mask_words(h->queries);
    dim3 grid((unsigned)((h->words + side - 1) / side),
              (unsigned)(h->queries + MASK_THREADS - 1) / MASK_THREADS, (unsigned)h->samples);
    LAUNCH(mask_bits<T>, grid, MASK_THREADS, 0, call->stream, *h, data_of<const T>(mask), s->open);
  });
  LAUNCH(mask_empty, (unsigned)((rows * WARP + MASK_THREADS - 1) / MASK_THREADS), MASK_THREADS, 0,
         call->stream, rows, h->words, s->open);
  h->open = s->open;
}

/* Calls launch(zero of the storage type, channels a lane, lanes a row). */
template <typename F> static void with_rows(const Call *call, int size, F launch) {
  std::integral_constant<int, 16> channels;
  with_type(call->in[IN_Q].type, [&](auto zero) {
    if (size <= 8) launch(zero, std::integral_constant<int, 8>(), std::integral_constant<int, 1>());
    if (size > 8 && size <= 16) launch(zero, channels, std::integral_constant<int, 1>());
    if (size > 16 && size <= 32) launch(zero, channels, std::integral_constant<int, 2>());
    if (size > 32 && size <= 64) launch(zero, channels, std::integral_constant<int, 4>());
    if (size > 64 && size <= 128) launch(zero, channels, std::integral_constant<int, 8>());
    if (size > 128 && size <= 256) launch(zero, channels, std::integral_constant<int, 16>());
    if (size > 256) launch(zero, channels, std::integral_constant<int, 32>());
  });
}

/* Calls launch(channels of a head, rounded up). */
template <typename F> static void with_size(const Heads *h, F launch) {
  if (h->size <= 16) launch(std::integral_constant<int, 16>());
  if (h->size > 16 && h->size <= 32) launch(std::integral_constant<int, 32>());
  if (h->size > 32) launch(std::integral_constant<int, 64>());
}

static dim3 rows_grid(const Call *call, const Heads *h, int count, int splits) {
  int rows = block_rows(call, h, count);
  return heads_grid(h, (count + rows - 1) / rows, splits);
}

static void forward(const Call *call) {
  Heads h = heads_make(call);
  Scratch s = scratch_make(call, &h);
  dim3 grid = rows_grid(call, &h, h.queries, h.splits);
  mask_read(call, &h, &s);
  with_rows(call, h.size, [&](auto zero, auto channels, auto lanes) {
    using T = decltype(zero);
    constexpr int CHANNELS = decltype(channels)::value, LANES = decltype(lanes)::value;
    const T *q = data_of<const T>(&call->in[IN_Q]), *k = data_of<const T>(&call->in[IN_K]);
    const T *v = data_of<const T>(&call->in[IN_V]);
    T *y = data_of<T>(&call->out[OUT_Y]);
    float *lse = data_of<float>(&call->out[OUT_LSE]);
    if (is_naive(call)) {
      naive_forward(h, call->stream, q, k, v, y, data_of<float>(&call->out[OUT_P]));
      return;
    }
    if constexpr (std::is_same_v<T, bf16>)
      if (is_mma(call, &h))
        with_size(&h, [&](auto size) {
          LAUNCH(mma_forward<decltype(size)::value>, grid, mma_warps(h.queries) * WARP, 0,
                 call->stream, h, q, k, v, y, lse, s.part, s.tops, s.totals);
        });
    if (!is_mma(call, &h))
      LAUNCH((rows_forward<T, CHANNELS, LANES>), grid, ROW_THREADS, 0, call->stream, h, q, k, v, y,
             lse, s.part, s.tops, s.totals);
    if (h.splits > 1)
      LAUNCH(context_combine<T>, heads_grid(&h, h.queries, 1), COMBINE_THREADS, 0, call->stream, h,
             s.part, s.tops, s.totals, y, lse);
  });
}

namespace {
/* Operands of backward. */
template <typename T> struct Operands {
  const T *q, *k, *v, *y, *dy;
  const float *lse;
  T *dq, *dk, *dv;
};
} // namespace

template <typename T> static Operands<T> operands_make(const Call *call) {
  return {data_of<const T>(&call->in[IN_Q]),    data_of<const T>(&call->in[IN_K]),
          data_of<const T>(&call->in[IN_V]),    data_of<const T>(&call->out[OUT_Y]),
          data_of<const T>(&call->dout[OUT_Y]), data_of<const float>(&call->out[OUT_LSE]),
          data_of<T>(&call->din[IN_Q]),         data_of<T>(&call->din[IN_K]),
          data_of<T>(&call->din[IN_V])};
}

template <typename T, int CHANNELS, int LANES>
static void rows_backward(const Call *call, const Heads &h, const Scratch &s,
                          const Operands<T> &o) {
  if (o.dq)
    LAUNCH((rows_query_gradient<T, CHANNELS, LANES>), rows_grid(call, &h, h.queries, h.splits),
           ROW_THREADS, 0, call->stream, h, o.q, o.k, o.v, o.dy, o.lse, s.delta, o.dq, s.part);
  if (o.dk || o.dv)
    LAUNCH((rows_key_gradient<T, CHANNELS, LANES>), rows_grid(call, &h, h.keys, 1), ROW_THREADS, 0,
           call->stream, h, o.q, o.k, o.v, o.dy, o.lse, s.delta, o.dk, o.dv);
}

static void mma_backward(const Call *call, const Heads &h, const Scratch &s,
                         const Operands<bf16> &o) {
  with_size(&h, [&](auto size) {
    constexpr int SIZE = decltype(size)::value;
    if (o.dq)
      LAUNCH(mma_query_gradient<SIZE>, rows_grid(call, &h, h.queries, h.splits),
             mma_warps(h.queries) * WARP, 0, call->stream, h, o.q, o.k, o.v, o.dy, o.lse, s.delta,
             o.dq, s.part);
    if (o.dk || o.dv)
      LAUNCH(mma_key_gradient<SIZE>, rows_grid(call, &h, h.keys, 1), mma_warps(h.keys) * WARP, 0,
             call->stream, h, o.q, o.k, o.v, o.dy, o.lse, s.delta, o.dk, o.dv);
  });
}

static void backward(const Call *call) {
  Heads h = heads_make(call);
  Scratch s = scratch_make(call, &h);
  if (!call->dout[OUT_Y].data) {
    zero_gradients(call);
    return;
  }
  mask_read(call, &h, &s);
  with_rows(call, h.size, [&](auto zero, auto channels, auto lanes) {
    using T = decltype(zero);
    Operands<T> o = operands_make<T>(call);
    LAUNCH(row_products<T>, heads_grid(&h, (h.queries + 3) / 4, 1), 128, 0, call->stream, h, o.y,
           o.dy, s.delta);
    if (is_naive(call)) {
      naive_backward(h, call->stream, o.q, o.k, o.v, o.dy, o.lse, s.delta, s.scores, o.dq, o.dk,
                     o.dv);
      return;
    }
    if constexpr (std::is_same_v<T, bf16>)
      if (is_mma(call, &h)) mma_backward(call, h, s, o);
    if (!is_mma(call, &h))
      rows_backward<T, decltype(channels)::value, decltype(lanes)::value>(call, h, s, o);
    if (o.dq && h.splits > 1)
      LAUNCH(rows_combine<T>, heads_grid(&h, h.queries, 1), COMBINE_THREADS, 0, call->stream, h,
             s.part, o.dq);
  });
}

CUDA_KERNEL(attention) = {.forward = forward,
                          .backward = backward,
                          .prepare = prepare,
                          .bf16 = SAVES_IN(IN_Q) | SAVES_IN(IN_K) | SAVES_IN(IN_V) |
                                  SAVES_IN(IN_MASK) | SAVES_OUT(OUT_Y),
                          .bf16_together = true};
