#include "modules/backbones/stages.h"

bool stages_check(Graph *graph, const Stages *stages) {
  int count = stages->widths.count;
  if (count && stages->strides.count == 3 * count &&
      (!stages->kernels.count || stages->kernels.count == 3 * count))
    return true;
  module_fail(graph,
              "widths, strides and kernels must speak of the same stages: found %d widths, %d "
              "strides, %d kernels (three numbers a stage)",
              count, stages->strides.count, stages->kernels.count);
  return false;
}

const int *stage_kernel(const Ints *kernels, int stage) {
  static const int three[3] = {3, 3, 3};
  return kernels->count ? &kernels->v[3 * stage] : three;
}

const int *stage_stride(const Stages *stages, int stage) {
  return &stages->strides.v[3 * stage];
}
