#include "modules/losses/supervision.h"

#include <math.h>

double supervision_weight(int stage, int stages, bool drop_lowest) {
  drop_lowest = drop_lowest && stages > 1;
  double sum = 0;
  for (int i = drop_lowest; i < stages; i++) sum += ldexp(1, i);
  return drop_lowest && stage == 0 ? 0 : ldexp(1, stage) / sum;
}

Value *supervision_labels(Graph *graph, Value *labels, const Value *like) {
  if (!labels || !like) return NULL;
  NearestLabelsOptions nearest = {.factor = {.count = 3}};
  bool same = true;
  for (int a = 0; a < 3; a++) {
    int64_t factor = labels->tensor.dim[1 + a] / like->tensor.dim[1 + a];
    nearest.factor.v[a] = (int)factor;
    same &= factor == 1;
  }
  return same ? labels : apply(graph, OP_nearest_labels, &nearest, labels);
}

Value *supervision_sum(Graph *graph, Value *const *x, const double *weight, int count) {
  WeightedSumOptions sum = {.count = count};
  for (int i = 0; i < count; i++) sum.weight[i] = weight[i];
  return graph_op(graph, OP_weighted_sum, &sum, count, x);
}
