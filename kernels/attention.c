/* Multi-head scaled dot-product attention (Vaswani et al. 2017, eq. 1), head h in the channels
 * [h d, (h+1) d) with d = E / heads:
 *   s[t] = q . k[t] / sqrt(d) over the open keys;  lse = log sum exp s;  p = exp(s - lse)
 *   out = sum_t p[t] v[t]
 * Masked attention (Cheng et al. 2022): key t is open to query i where mask[n, t, i] >= 0; a query
 * without an open key sees all. Backward recomputes p from lse, delta = out . dout:
 *   ds = p (v . dout - delta + dlse), dq = ds k, dk = ds q, dv = p dout. Cost 4 N Tq Tk E FLOP.
 * naive: p itself is kept, for comparison: memory grows with Tq Tk. */
#include "kernels/options.h"

#include <math.h>
#include <string.h>

static const Option options[] = {
    {"heads", OPTION_INT, offsetof(AttentionOptions, heads), 1, 1, 64, NULL, NULL,
     "heads; they divide the width"},
    {"naive", OPTION_BOOL, offsetof(AttentionOptions, naive), 0, 0, 1, NULL, NULL,
     "keep the probabilities (N, heads, Tq, Tk) for backward instead of the log-sum-exp"},
    {0}};

enum { IN_Q, IN_K, IN_V, IN_MASK };
enum { OUT_Y, OUT_LSE, OUT_P = OUT_LSE }; /* naive: p in the place of lse */
enum { SAVES_ALL = SAVES_ALL_IN | SAVES_OUT(OUT_Y) | SAVES_OUT(OUT_LSE) };

static bool naive(const Call *call) {
  return ((const AttentionOptions *)call->options)->naive;
}

static bool same_tokens(const Tensor *a, const Tensor *b) {
  return a->rank == b->rank &&
         memcmp(a->dim, b->dim, (size_t)(a->rank - 1) * sizeof a->dim[0]) == 0;
}

static bool shape(Call *call, Error *error) {
  const AttentionOptions *o = call->options;
  const Tensor *q = &call->in[IN_Q], *k = &call->in[IN_K], *v = &call->in[IN_V];
  if (q->rank < 3 || k->rank < 3)
    return fail(error, "attention: q is (N, Tq.., E), k and v (N, Tk.., E), found %s, %s and %s",
                tensor_shape_text(q), tensor_shape_text(k), tensor_shape_text(v));
  int64_t width = tensor_last(q), queries = tensor_rows(q) / q->dim[0];
  if (!same_tokens(k, v) || k->dim[0] != q->dim[0] || tensor_last(k) != width ||
      tensor_last(v) != width)
    return fail(error, "attention: k and v are (%lld, Tk.., %lld) to go with q %s, found %s and %s",
                (long long)q->dim[0], (long long)width, tensor_shape_text(q), tensor_shape_text(k),
                tensor_shape_text(v));
  if (o->heads < 1 || width % o->heads)
    return fail(error, "attention: %d heads do not divide the width %lld", o->heads,
                (long long)width);
  if (call->n_in > IN_MASK) {
    const Tensor *mask = &call->in[IN_MASK];
    if (!same_tokens(mask, k) || tensor_last(mask) != queries)
      return fail(error,
                  "attention: mask is (N, Tk.., Tq) to go with k %s and %lld queries, found %s",
                  tensor_shape_text(k), (long long)queries, tensor_shape_text(mask));
  }
  call->out[OUT_Y] = tensor_make(q->type, q->rank, q->dim);
  int64_t keys = tensor_rows(k) / k->dim[0];
  call->out[OUT_LSE] =
      tensor_make(q->type, o->naive ? 4 : 3, (int64_t[]){q->dim[0], o->heads, queries, keys});
  return true;
}

static void cost(const Call *call, Cost *cost) {
  const Tensor *q = &call->in[IN_Q], *k = &call->in[IN_K];
  double product = 2.0 * (double)tensor_count(q) * (double)(tensor_rows(k) / k->dim[0]);
  cost->flops = (!call->backward ? 2 : naive(call) ? 4 : 5) * product;
}

/* One query of one head: the offsets of its operands and the sizes that walk them. */
typedef struct Head {
  int64_t q, k, lse, mask; /* first elements; keys are `width` apart, mask entries `queries` */
  int64_t width, size, queries, keys;
  double scale;
} Head;

static Head head_of(const Call *call, int64_t at) {
  int heads = ((const AttentionOptions *)call->options)->heads;
  const Tensor *q = &call->in[IN_Q], *k = &call->in[IN_K];
  Head h = {.width = tensor_last(q), .lse = at};
  h.queries = tensor_rows(q) / q->dim[0];
  h.keys = tensor_rows(k) / k->dim[0];
  h.size = h.width / heads;
  h.scale = 1 / sqrt((double)h.size);
  int64_t n = at / (heads * h.queries), head = at / h.queries % heads, query = at % h.queries;
  h.q = (n * h.queries + query) * h.width + head * h.size;
  h.k = n * h.keys * h.width + head * h.size;
  h.mask = n * h.keys * h.queries + query;
  return h;
}

static int64_t head_rows(const Call *call) {
  const Tensor *q = &call->in[IN_Q];
  return tensor_rows(q) * ((const AttentionOptions *)call->options)->heads;
}

static double dot(const REAL *a, const REAL *b, int64_t count) {
  double sum = 0;
  for (int64_t c = 0; c < count; c++) sum += (double)a[c] * b[c];
  return sum;
}

/* s[t] of one query; -infinity where the mask closes the key. */
static void scores(const Call *call, const Head *h, double *s) {
  const REAL *q = (const REAL *)call->in[IN_Q].data + h->q;
  const REAL *k = (const REAL *)call->in[IN_K].data + h->k;
  const REAL *mask = NULL;
  if (call->n_in > IN_MASK) mask = (const REAL *)call->in[IN_MASK].data + h->mask;
  bool any = false;
  for (int64_t t = 0; mask && t < h->keys; t++) any = any || mask[t * h->queries] >= 0;
  for (int64_t t = 0; t < h->keys; t++) {
    bool open = !any || mask[t * h->queries] >= 0;
    s[t] = open ? h->scale * dot(q, k + t * h->width, h->size) : -INFINITY;
  }
}

static void forward(const Call *call) {
  double *s = call->scratch;
  for (int64_t at = 0; at < head_rows(call); at++) {
    Head h = head_of(call, at);
    const REAL *v = (const REAL *)call->in[IN_V].data + h.k;
    REAL *y = (REAL *)call->out[OUT_Y].data + h.q;
    scores(call, &h, s);
    double top = -INFINITY, total = 0;
    for (int64_t t = 0; t < h.keys; t++) top = fmax(top, s[t]);
    for (int64_t t = 0; t < h.keys; t++) total += s[t] = exp(s[t] - top);
    for (int64_t c = 0; c < h.size; c++) {
      double sum = 0;
      for (int64_t t = 0; t < h.keys; t++) sum += s[t] * v[t * h.width + c];
      y[c] = (REAL)(sum / total);
    }
    REAL *kept = call->out[OUT_LSE].data;
    for (int64_t t = 0; naive(call) && t < h.keys; t++)
      kept[at * h.keys + t] = (REAL)(s[t] / total);
    if (!naive(call)) kept[at] = (REAL)(top + log(total));
  }
}

/* p[t] of one query, out of what forward kept. */
static void probabilities(const Call *call, const Head *h, double *p) {
  const REAL *kept = call->out[OUT_LSE].data;
  if (!naive(call)) scores(call, h, p);
  for (int64_t t = 0; t < h->keys; t++)
    p[t] = naive(call) ? (double)kept[h->lse * h->keys + t] : exp(p[t] - kept[h->lse]);
}

static void backward_query(const Call *call, const Head *h, double *p) {
  const REAL *q = (const REAL *)call->in[IN_Q].data + h->q;
  const REAL *k = (const REAL *)call->in[IN_K].data + h->k;
  const REAL *v = (const REAL *)call->in[IN_V].data + h->k;
  const REAL *y = (const REAL *)call->out[OUT_Y].data + h->q;
  const REAL *dy = call->dout[OUT_Y].data, *dlse = call->dout[OUT_LSE].data;
  REAL *dq = call->din[IN_Q].data, *dk = call->din[IN_K].data, *dv = call->din[IN_V].data;
  if (dy) dy += h->q;
  probabilities(call, h, p);
  double shift = dlse ? dlse[h->lse] : 0;
  if (dy) shift -= dot(y, dy, h->size);
  for (int64_t t = 0; t < h->keys; t++) {
    double ds = p[t] * ((dy ? dot(v + t * h->width, dy, h->size) : 0) + shift) * h->scale;
    int64_t key = h->k + t * h->width;
    for (int64_t c = 0; c < h->size; c++) {
      if (dq) dq[h->q + c] += (REAL)(ds * k[t * h->width + c]);
      if (dk) dk[key + c] += (REAL)(ds * q[c]);
      if (dv && dy) dv[key + c] += (REAL)(p[t] * dy[c]);
    }
  }
}

static void backward(const Call *call) {
  for (int i = IN_Q; i <= IN_V; i++)
    if (call->din[i].data) memset(call->din[i].data, 0, tensor_bytes(&call->din[i]));
  for (int64_t at = 0; at < head_rows(call); at++) {
    Head h = head_of(call, at);
    backward_query(call, &h, call->scratch);
  }
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  const Tensor *k = &call->in[IN_K];
  call->scratch_bytes = (size_t)(tensor_rows(k) / k->dim[0]) * sizeof(double);
  return true;
}

/* The mask is in the probabilities already. */
static unsigned saves_at(const Call *call) {
  return naive(call) ? ~SAVES_IN(IN_MASK) : ~0u;
}

const Op OP_ROW(attention) = {
    .name = "attention",
    .doc = "multi-head attention, optionally masked per key and query",
    .min_in = 3,
    .max_in = 4,
    .n_out = 2,
    .saves = {[IN_Q] = SAVES_ALL, [IN_K] = SAVES_ALL, [IN_V] = SAVES_ALL},
    .saves_at = saves_at,
    .constant = SAVES_IN(IN_MASK),
    .options = options,
    .options_bytes = sizeof(AttentionOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward, .prepare = prepare},
};
