/* Bipartite matching of queries and the classes present in each sample (Eq. 5-6 of the paper):
 *   cost(c, q) = -class_weight p_q(c) + bce_weight BCE(x_q, label == c)
 *              + dice_weight (1 - (2 sum p t + 1) / (sum p + sum t + 1)),  p = sigmoid(x).
 * All costs follow from sums of softplus(x), p per query and of x, p per (class, query), which one
 * pass over the voxels gives: O(V K), not O(V K classes), as a voxel is of one class, or with
 * `regions` of the few that its label holds. Voxels with a negative label are left out of every
 * sum. Then the assignment problem (cpu/matching.c). */
#include "kernels/cpu/matching.h"

#include <math.h>
#include <string.h>

static const Option options[] = {{"class_weight", OPTION_FLOAT,
                                  offsetof(MatchOptions, class_weight), 2, 0, 1e6, NULL, NULL,
                                  "weight of the class probability"},
                                 {"bce_weight", OPTION_FLOAT, offsetof(MatchOptions, bce_weight), 5,
                                  0, 1e6, NULL, NULL, "weight of the masks' binary cross-entropy"},
                                 {"dice_weight", OPTION_FLOAT, offsetof(MatchOptions, dice_weight),
                                  5, 0, 1e6, NULL, NULL, "weight of the masks' Dice loss"},
                                 {"fixed", OPTION_BOOL, offsetof(MatchOptions, fixed), 0, 0, 1,
                                  NULL, NULL, "query i is class i where present, no search"},
                                 {"regions", OPTION_BOOL, offsetof(MatchOptions, regions), 0, 0, 1,
                                  NULL, NULL, "labels are sets of classes, as bits"},
                                 {0}};

enum { IN_CLASS, IN_MASK, IN_LABELS };

static bool shape(Call *call, Error *error) {
  const Tensor *logits = &call->in[IN_CLASS], *mask = &call->in[IN_MASK];
  const Tensor *labels = &call->in[IN_LABELS];
  if (logits->rank != 3 || logits->dim[2] < 2)
    return fail(error, "match: class logits have 3 axes (N, K, classes + 1), found %s",
                tensor_shape_text(logits));
  if (mask->rank != 5 || mask->dim[0] != logits->dim[0] || mask->dim[4] != logits->dim[1])
    return fail(error, "match: mask logits (N, D, H, W, K) expected for class logits %s, found %s",
                tensor_shape_text(logits), tensor_shape_text(mask));
  if (labels->rank != 4 || labels->type != I32 ||
      memcmp(labels->dim, mask->dim, 4 * sizeof labels->dim[0]) != 0)
    return fail(error, "match: integer labels (N, D, H, W) expected for mask logits %s, found %s",
                tensor_shape_text(mask), tensor_shape_text(labels));
  if (logits->dim[1] < logits->dim[2] - 1)
    return fail(error,
                "match: %lld queries cannot hold %lld classes (background is one): use at "
                "least as many queries as classes",
                (long long)logits->dim[1], (long long)logits->dim[2] - 1);
  if (((const MatchOptions *)call->options)->regions && logits->dim[2] > 31)
    return fail(error, "match: at most 30 regions, found %lld", (long long)logits->dim[2] - 1);
  call->out[0] = tensor_make(I32, 2, logits->dim);
  return true;
}

static void cost(const Call *call, Cost *cost) {
  cost->flops = 25.0 * (double)tensor_count(&call->in[IN_MASK]);
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  const int64_t *dim = call->in[IN_CLASS].dim;
  call->scratch_bytes = matching_bytes((int)dim[1], (int)dim[2] - 1);
  return true;
}

static void sum_voxel(const Matching *m, const REAL *x, int32_t label, bool regions) {
  if (label < 0) return;
  ++*m->known;
  for (int q = 0; q < m->queries; q++) {
    m->softplus[q] += (x[q] > 0 ? (double)x[q] : 0) + log1p(exp(-fabs((double)x[q])));
    m->p[q] += 1 / (1 + exp(-(double)x[q]));
  }
  for (int c = 0; c < m->classes; c++) {
    if (regions ? !(label >> c & 1) : label != c) continue;
    m->count[c]++;
    for (int q = 0; q < m->queries; q++) {
      m->label_x[c * m->queries + q] += x[q];
      m->label_p[c * m->queries + q] += 1 / (1 + exp(-(double)x[q]));
    }
  }
}

static void class_probabilities(const Matching *m, const REAL *logits) {
  for (int q = 0; q < m->queries; q++, logits += m->classes + 1) {
    double top = logits[0], sum = 0;
    for (int c = 1; c <= m->classes; c++) top = logits[c] > top ? logits[c] : top;
    for (int c = 0; c <= m->classes; c++) sum += exp(logits[c] - top);
    for (int c = 0; c < m->classes; c++)
      m->probability[q * m->classes + c] = exp(logits[c] - top) / sum;
  }
}

static void forward(const Call *call) {
  const MatchOptions *o = call->options;
  int64_t samples = call->in[IN_MASK].dim[0];
  int64_t voxels = tensor_rows(&call->in[IN_MASK]) / samples;
  int queries = (int)call->in[IN_CLASS].dim[1], classes = (int)call->in[IN_CLASS].dim[2] - 1;
  for (int64_t n = 0; n < samples; n++) {
    Matching matching = matching_make(call->scratch, queries, classes);
    for (int64_t v = n * voxels; v < (n + 1) * voxels; v++)
      sum_voxel(&matching, (const REAL *)call->in[IN_MASK].data + v * queries,
                ((const int32_t *)call->in[IN_LABELS].data)[v], o->regions);
    class_probabilities(&matching,
                        (const REAL *)call->in[IN_CLASS].data + n * queries * (classes + 1));
    matching_solve(&matching, o, (int32_t *)call->out[0].data + n * queries);
  }
}

const Op OP_ROW(match) = {
    .name = "match",
    .doc = "one-to-one matching of queries and the classes present",
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .flags = OP_NO_GRADIENT,
    .constant = SAVES_IN(IN_LABELS),
    .options = options,
    .options_bytes = sizeof(MatchOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .prepare = prepare},
};
