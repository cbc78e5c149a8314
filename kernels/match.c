/* Bipartite matching of queries and the classes present in each sample (Eq. 5-6 of the paper):
 *   cost(c, q) = -class_weight p_q(c) + bce_weight BCE(x_q, label == c)
 *              + dice_weight (1 - (2 sum p t + 1) / (sum p + sum t + 1)),  p = sigmoid(x).
 * All costs follow from sums of softplus(x), p per query and of x, p per (class, query), which one
 * pass over the voxels gives: O(V K), not O(V K classes), as a voxel is of one class, or with
 * `regions` of the few that its label holds. Voxels with a negative label are left out of every
 * sum. Auxiliary masks and boxes add their terms (options.h), which MaskSAM's matching has. Then
 * the assignment problem (cpu/matching.c), for each sample or each group of samples. */
#include "kernels/cpu/matching.h"

#include <math.h>
#include <string.h>

static const Option options[] = {
    {"class_weight", OPTION_FLOAT, offsetof(MatchOptions, class_weight), 2, 0, 1e6, NULL, NULL,
     "weight of the class probability"},
    {"bce_weight", OPTION_FLOAT, offsetof(MatchOptions, bce_weight), 5, 0, 1e6, NULL, NULL,
     "weight of the masks' binary cross-entropy"},
    {"dice_weight", OPTION_FLOAT, offsetof(MatchOptions, dice_weight), 5, 0, 1e6, NULL, NULL,
     "weight of the masks' Dice loss"},
    {"aux_weight", OPTION_FLOAT, offsetof(MatchOptions, aux_weight), .5, 0, 1e6, NULL, NULL,
     "weight of the auxiliary masks' cross-entropy and Dice loss"},
    {"l1_weight", OPTION_FLOAT, offsetof(MatchOptions, l1_weight), .5, 0, 1e6, NULL, NULL,
     "weight of the boxes' distance"},
    {"giou_weight", OPTION_FLOAT, offsetof(MatchOptions, giou_weight), .2, 0, 1e6, NULL, NULL,
     "weight of the boxes' GIoU"},
    {"fixed", OPTION_BOOL, offsetof(MatchOptions, fixed), 0, 0, 1, NULL, NULL,
     "query i is class i where present, no search"},
    {"regions", OPTION_BOOL, offsetof(MatchOptions, regions), 0, 0, 1, NULL, NULL,
     "labels are sets of classes, as bits"},
    {"slices", OPTION_INT, offsetof(MatchOptions, group), 1, 1, 65536, NULL, NULL,
     "samples that are matched as one: a volume's slices"},
    {0}};

static bool extras_fit(const Call *call, Error *error) {
  const Tensor *logits = &call->in[MATCH_IN_CLASS], *mask = &call->in[MATCH_IN_MASK];
  const Tensor *aux = &call->in[MATCH_IN_AUX], *boxes = &call->in[MATCH_IN_BOXES];
  if (call->n_in > MATCH_IN_AUX && !tensor_absent(aux) &&
      (aux->rank != 5 || memcmp(aux->dim, mask->dim, 5 * sizeof aux->dim[0]) != 0))
    return fail(error, "match: auxiliary mask logits as the masks' %s expected, found %s",
                tensor_shape_text(mask), tensor_shape_text(aux));
  if (call->n_in > MATCH_IN_BOXES && !tensor_absent(boxes) &&
      (boxes->rank != 3 || boxes->dim[2] != 4 ||
       memcmp(boxes->dim, logits->dim, 2 * sizeof boxes->dim[0]) != 0))
    return fail(error, "match: boxes (N, K, 4) expected for class logits %s, found %s",
                tensor_shape_text(logits), tensor_shape_text(boxes));
  int group = ((const MatchOptions *)call->options)->group;
  if (group > 1 && logits->dim[0] % group)
    return fail(error, "match: %lld samples do not come in groups of %d", (long long)logits->dim[0],
                group);
  return true;
}

static bool shape(Call *call, Error *error) {
  const Tensor *logits = &call->in[MATCH_IN_CLASS], *mask = &call->in[MATCH_IN_MASK];
  const Tensor *labels = &call->in[MATCH_IN_LABELS];
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
  if (!extras_fit(call, error)) return false;
  call->out[0] = tensor_make(I32, 2, logits->dim);
  return true;
}

static void cost(const Call *call, Cost *cost) {
  cost->flops = 25.0 * match_sizes(call).kinds * (double)tensor_count(&call->in[MATCH_IN_MASK]);
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  MatchSizes sizes = match_sizes(call);
  call->scratch_bytes = matching_bytes(&sizes);
  return true;
}

static void sum_voxel(const MatchSizes *size, const MatchSums *m, const REAL *x, int32_t label) {
  if (label < 0) return;
  ++*m->known;
  for (int q = 0; q < size->queries; q++) {
    m->softplus[q] += (x[q] > 0 ? (double)x[q] : 0) + log1p(exp(-fabs((double)x[q])));
    m->p[q] += 1 / (1 + exp(-(double)x[q]));
  }
  for (int c = 0; c < size->classes; c++) {
    if (size->regions ? !(label >> c & 1) : label != c) continue;
    m->count[c]++;
    for (int q = 0; q < size->queries; q++) {
      m->label_x[c * size->queries + q] += x[q];
      m->label_p[c * size->queries + q] += 1 / (1 + exp(-(double)x[q]));
    }
  }
}

static void class_probabilities(const Matching *m, const REAL *logits) {
  int classes = m->sizes.classes;
  for (int q = 0; q < m->sizes.queries; q++, logits += classes + 1) {
    double top = logits[0], sum = 0;
    for (int c = 1; c <= classes; c++) top = logits[c] > top ? logits[c] : top;
    for (int c = 0; c <= classes; c++) sum += exp(logits[c] - top);
    for (int c = 0; c < classes; c++) m->probability[q * classes + c] = exp(logits[c] - top) / sum;
  }
}

/* Sample n, one of matching's group. */
static void add_sample(const Call *call, const Matching *m, int64_t n) {
  const MatchSizes *s = &m->sizes;
  int64_t voxels = (int64_t)s->depth * s->height * s->width;
  const int32_t *labels = (const int32_t *)call->in[MATCH_IN_LABELS].data + n * voxels;
  matching_clear(m);
  for (int kind = 0; kind < s->kinds; kind++) {
    const REAL *x = call->in[kind ? MATCH_IN_AUX : MATCH_IN_MASK].data;
    for (int64_t v = 0; v < voxels; v++)
      sum_voxel(s, &m->sums[kind], x + (n * voxels + v) * s->queries, labels[v]);
  }
  class_probabilities(m, (const REAL *)call->in[MATCH_IN_CLASS].data +
                             n * s->queries * (s->classes + 1));
  for (int i = 0; s->boxes && i < s->queries * 4; i++)
    m->box[i] = ((const REAL *)call->in[MATCH_IN_BOXES].data)[n * s->queries * 4 + i];
  matching_add(m, call->options, (int)(n % s->group), labels);
}

static void forward(const Call *call) {
  MatchSizes sizes = match_sizes(call);
  for (int64_t n = 0; n < call->in[MATCH_IN_MASK].dim[0]; n += sizes.group) {
    Matching matching = matching_make(call->scratch, &sizes);
    for (int i = 0; i < sizes.group; i++) add_sample(call, &matching, n + i);
    matching_solve(&matching, call->options, (int32_t *)call->out[0].data + n * sizes.queries);
  }
}

const Op OP_ROW(match) = {
    .name = "match",
    .doc = "one-to-one matching of queries and the classes present",
    .min_in = 3,
    .max_in = 5,
    .n_out = 1,
    .flags = OP_NO_GRADIENT,
    .constant = SAVES_IN(MATCH_IN_LABELS),
    .optional = SAVES_IN(MATCH_IN_AUX) | SAVES_IN(MATCH_IN_BOXES),
    .options = options,
    .options_bytes = sizeof(MatchOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .prepare = prepare},
};
