#include "kernels/cpu/attention_matrix.h"
#include "kernels/cpu/sgemm.h"
#include "kernels/cpu/simd_math.h"

#include <math.h>
#include <string.h>

enum { IN_Q, IN_K, IN_V, IN_MASK };
enum { OUT_Y, OUT_P };

/* One head of one sample: where its rows begin, how far apart they are. */
typedef struct Head {
  int64_t n, queries, keys, width, size; /* size: channels a head */
  int64_t q, k, p;                       /* first elements */
  float scale;
} Head;

static int64_t heads_of(const Call *call) {
  return call->in[IN_Q].dim[0] * ((const AttentionOptions *)call->options)->heads;
}

static Head head_of(const Call *call, int64_t at) {
  int heads = ((const AttentionOptions *)call->options)->heads;
  const Tensor *q = &call->in[IN_Q], *k = &call->in[IN_K];
  Head h = {.n = at / heads, .width = tensor_last(q)};
  h.queries = tensor_rows(q) / q->dim[0];
  h.keys = tensor_rows(k) / k->dim[0];
  h.size = h.width / heads;
  h.q = h.n * h.queries * h.width + at % heads * h.size;
  h.k = h.n * h.keys * h.width + at % heads * h.size;
  h.p = at * h.queries * h.keys;
  h.scale = 1 / sqrtf((float)h.size);
  return h;
}

static Matrix rows(const Tensor *tensor, int64_t first, const Head *h, bool transposed) {
  return (Matrix){(const float *)tensor->data + first, h->width, transposed};
}

/* A query without an open key keeps all its scores. */
static void close_keys(const Call *call, const Head *h, int64_t query, float *s) {
  const float *mask = call->in[IN_MASK].data;
  mask += h->n * h->keys * h->queries + query;
  bool any = false;
  for (int64_t t = 0; t < h->keys; t++) any = any || mask[t * h->queries] >= 0;
  for (int64_t t = 0; any && t < h->keys; t++)
    if (!(mask[t * h->queries] >= 0)) s[t] = -INFINITY;
}

static void soften(int64_t count, float *restrict s) {
  float top = -INFINITY, total = 0;
  for (int64_t t = 0; t < count; t++) top = fmaxf(top, s[t]);
  for (int64_t t = 0; t < count; t++) {
    bool open = s[t] > -INFINITY;
    s[t] = open ? simd_exp(s[t] - top) : 0;
    total += s[t];
  }
  for (int64_t t = 0; t < count; t++) s[t] /= total;
}

void attention_matrix_forward(const Call *call) {
#pragma omp parallel for schedule(static)
  for (int64_t at = 0; at < heads_of(call); at++) {
    Head h = head_of(call, at);
    float *p = (float *)call->out[OUT_P].data + h.p, *y = (float *)call->out[OUT_Y].data + h.q;
    gemm(h.queries, h.keys, h.size, h.scale, rows(&call->in[IN_Q], h.q, &h, false),
         rows(&call->in[IN_K], h.k, &h, true), 0, p, h.keys);
    for (int64_t query = 0; query < h.queries; query++) {
      if (call->n_in > IN_MASK) close_keys(call, &h, query, p + query * h.keys);
      soften(h.keys, p + query * h.keys);
    }
    gemm(h.queries, h.size, h.keys, 1, (Matrix){p, h.keys, false},
         rows(&call->in[IN_V], h.k, &h, false), 0, y, h.width);
  }
}

size_t attention_matrix_scratch(const Call *call) {
  return tensor_bytes(&call->out[OUT_P]);
}

/* ds = p (dp - out . dout), in place of dp. */
static void score_gradient(const Call *call, const Head *h, const float *p, float *ds) {
  const float *y = (const float *)call->out[OUT_Y].data + h->q;
  const float *dy = (const float *)call->dout[OUT_Y].data + h->q;
  for (int64_t query = 0; query < h->queries; query++) {
    float delta = 0;
    int64_t row = query * h->keys;
    for (int64_t c = 0; c < h->size; c++)
      delta += y[query * h->width + c] * dy[query * h->width + c];
    for (int64_t t = 0; t < h->keys; t++) ds[row + t] = p[row + t] * (ds[row + t] - delta);
  }
}

static void backward_head(const Call *call, const Head *h) {
  const float *p = (const float *)call->out[OUT_P].data + h->p;
  float *ds = (float *)call->scratch + h->p;
  float *dq = call->din[IN_Q].data, *dk = call->din[IN_K].data, *dv = call->din[IN_V].data;
  Matrix dy = rows(&call->dout[OUT_Y], h->q, h, false);
  gemm(h->queries, h->keys, h->size, 1, dy, rows(&call->in[IN_V], h->k, h, true), 0, ds, h->keys);
  score_gradient(call, h, p, ds);
  if (dq)
    gemm(h->queries, h->size, h->keys, h->scale, (Matrix){ds, h->keys, false},
         rows(&call->in[IN_K], h->k, h, false), 0, dq + h->q, h->width);
  if (dk)
    gemm(h->keys, h->size, h->queries, h->scale, (Matrix){ds, h->keys, true},
         rows(&call->in[IN_Q], h->q, h, false), 0, dk + h->k, h->width);
  if (dv)
    gemm(h->keys, h->size, h->queries, 1, (Matrix){p, h->keys, true}, dy, 0, dv + h->k, h->width);
}

void attention_matrix_backward(const Call *call) {
  if (!call->dout[OUT_Y].data) { /* nothing arrives */
    for (int i = IN_Q; i <= IN_V; i++)
      if (call->din[i].data) memset(call->din[i].data, 0, tensor_bytes(&call->din[i]));
    return;
  }
#pragma omp parallel for schedule(static)
  for (int64_t at = 0; at < heads_of(call); at++) {
    Head h = head_of(call, at);
    backward_head(call, &h);
  }
}
