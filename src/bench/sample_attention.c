/* Single elements of attention (formula: kernels/attention.c). */
#include "src/bench/sample_element.h"

#include <math.h>

/* ---- attention: a query of a head ---------------------------------------------------------------
 */

enum { IN_Q, IN_K, IN_V, IN_MASK };

typedef struct Query {
  int64_t sample, query, first, size, keys, queries, width; /* first: channel of the head */
  double scale;
  bool masked; /* some key is open, so that the mask counts */
} Query;

static double mask_at(const Call *call, const Query *q, int64_t key) {
  return sample_value(&call->in[IN_MASK], (q->sample * q->keys + key) * q->queries + q->query);
}

static Query query_at(const Call *call, int64_t sample, int64_t query, int64_t head) {
  int heads = ((const AttentionOptions *)call->options)->heads;
  const Tensor *in = call->in;
  Query q = {.sample = sample, .query = query, .width = tensor_last(&in[IN_Q])};
  q.queries = tensor_rows(&in[IN_Q]) / in[IN_Q].dim[0];
  q.keys = tensor_rows(&in[IN_K]) / in[IN_K].dim[0];
  q.size = q.width / heads;
  q.first = head * q.size;
  q.scale = 1 / sqrt((double)q.size);
  for (int64_t t = 0; call->n_in > IN_MASK && t < q.keys && !q.masked; t++)
    q.masked = mask_at(call, &q, t) >= 0;
  return q;
}

/* Of element `at` of q, y or dq. */
static Query query_of(const Call *call, int64_t at) {
  int heads = ((const AttentionOptions *)call->options)->heads;
  int64_t width = tensor_last(&call->in[IN_Q]), row = at / width;
  int64_t queries = tensor_rows(&call->in[IN_Q]) / call->in[IN_Q].dim[0];
  return query_at(call, row / queries, row % queries, at % width / (width / heads));
}

static double dot(const Tensor *a, int64_t i, const Tensor *b, int64_t k, int64_t count) {
  double sum = 0;
  for (int64_t c = 0; c < count; c++) sum += sample_value(a, i + c) * sample_value(b, k + c);
  return sum;
}

static int64_t query_row(const Query *q) {
  return (q->sample * q->queries + q->query) * q->width + q->first;
}

static int64_t key_row(const Query *q, int64_t key) {
  return (q->sample * q->keys + key) * q->width + q->first;
}

static double score(const Call *call, const Query *q, int64_t key) {
  if (q->masked && mask_at(call, q, key) < 0) return -INFINITY;
  return q->scale * dot(&call->in[IN_Q], query_row(q), &call->in[IN_K], key_row(q, key), q->size);
}

/* Sum over the keys of exp(s - top) times f(key), divided by that without f; top: the largest s. */
double sample_attention_y(const Call *call, int operand, int64_t at) {
  Query q = query_of(call, at);
  const Tensor *v = &call->in[IN_V];
  int64_t c = at % q.width - q.first;
  double top = -INFINITY, sum = 0, total = 0;
  (void)operand;
  for (int64_t t = 0; t < q.keys; t++) {
    double s = score(call, &q, t);
    if (s > top) {
      double shrink = exp(top - s);
      sum *= shrink, total *= shrink, top = s;
    }
    if (!isfinite(s)) continue;
    sum += exp(s - top) * sample_value(v, key_row(&q, t) + c);
    total += exp(s - top);
  }
  return sum / total;
}

double sample_attention_lse(const Call *call, int operand, int64_t at) {
  int heads = ((const AttentionOptions *)call->options)->heads;
  int64_t queries = call->out[operand].dim[2];
  Query q = query_at(call, at / queries / heads, at % queries, at / queries % heads);
  double top = -INFINITY, total = 0;
  for (int64_t t = 0; t < q.keys; t++) top = fmax(top, score(call, &q, t));
  for (int64_t t = 0; t < q.keys; t++) total += exp(score(call, &q, t) - top);
  return top + log(total);
}

/* p and the gradient of s, with what forward was found to keep. */
static double score_gradient(const Call *call, const Query *q, int64_t key, double *p) {
  const Tensor *y = &call->out[0], *dy = &call->dout[0], *v = &call->in[IN_V];
  int64_t row = query_row(q), head = q->first / q->size, heads = q->width / q->size;
  int64_t kept = (q->sample * heads + head) * q->queries + q->query;
  *p = exp(score(call, q, key) - sample_value(&call->out[1], kept));
  return *p * (dot(v, key_row(q, key), dy, row, q->size) - dot(y, row, dy, row, q->size)) *
         q->scale;
}

double sample_attention_dq(const Call *call, int operand, int64_t at) {
  Query q = query_of(call, at);
  int64_t c = at % q.width - q.first;
  double sum = 0, p;
  (void)operand;
  for (int64_t t = 0; t < q.keys; t++)
    sum += score_gradient(call, &q, t, &p) * sample_value(&call->in[IN_K], key_row(&q, t) + c);
  return sum;
}

double sample_attention_dkv(const Call *call, int operand, int64_t at) {
  int heads = ((const AttentionOptions *)call->options)->heads;
  const Tensor *k = &call->in[IN_K], *q_in = &call->in[IN_Q];
  int64_t width = tensor_last(k), keys = tensor_rows(k) / k->dim[0], row = at / width;
  int64_t queries = tensor_rows(q_in) / q_in->dim[0], head = at % width / (width / heads);
  double sum = 0, p;
  for (int64_t i = 0; i < queries; i++) {
    Query q = query_at(call, row / keys, i, head);
    int64_t from = query_row(&q) + at % width - q.first;
    double ds = score_gradient(call, &q, row % keys, &p);
    sum += operand == IN_K ? ds * sample_value(q_in, from) : p * sample_value(&call->dout[0], from);
  }
  return sum;
}
