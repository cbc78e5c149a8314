/* Boxes in a plane (options.h: mask_box), for the host and CUDA kernels: the bounds of a label's
 * voxels, and the generalised intersection over union (Rezatofighi et al. 2019):
 *   GIoU = I / (U + e) - (C - U) / (C + e), with I the intersection, U the union and C the smallest
 * box that holds both, e = 1e-6. */
#ifndef KERNELS_PLANE_BOX_H
#define KERNELS_PLANE_BOX_H

#include "base/host_device.h"

#include <stdint.h>

#define GIOU_EPSILON 1e-6

enum { BOUND_X1, BOUND_Y1, BOUND_X2, BOUND_Y2, BOUNDS };

/* Numbers of voxels; nothing yet: the first lies beyond the last. */
HOST_DEVICE void bounds_start(int32_t *bounds, int width, int height) {
  bounds[BOUND_X1] = width;
  bounds[BOUND_Y1] = height;
  bounds[BOUND_X2] = bounds[BOUND_Y2] = -1;
}

HOST_DEVICE void bounds_add(int32_t *bounds, int x, int y) {
  if (x < bounds[BOUND_X1]) bounds[BOUND_X1] = x;
  if (y < bounds[BOUND_Y1]) bounds[BOUND_Y1] = y;
  if (x > bounds[BOUND_X2]) bounds[BOUND_X2] = x;
  if (y > bounds[BOUND_Y2]) bounds[BOUND_Y2] = y;
}

/* A voxel of this label, or set of classes; bounds (classes, BOUNDS). */
HOST_DEVICE void bounds_add_label(int32_t *bounds, int classes, int32_t label, int regions, int x,
                                  int y) {
  if (!regions && label >= 0 && label < classes) bounds_add(bounds + BOUNDS * label, x, y);
  for (int c = 0; regions && label >= 0 && c < classes && c < 31; c++)
    if (label >> c & 1) bounds_add(bounds + BOUNDS * c, x, y);
}

HOST_DEVICE void bounds_box(const int32_t *bounds, int width, int height, double *box) {
  int any = bounds[BOUND_X2] >= 0;
  box[BOUND_X1] = any ? (double)bounds[BOUND_X1] / width : 0;
  box[BOUND_Y1] = any ? (double)bounds[BOUND_Y1] / height : 0;
  box[BOUND_X2] = any ? (double)bounds[BOUND_X2] / width : 0;
  box[BOUND_Y2] = any ? (double)bounds[BOUND_Y2] / height : 0;
}

/* Of two boxes along one axis: what they share (negative where they do not meet), and the whole. */
HOST_DEVICE double span_inner(const double *a, const double *b, int axis) {
  return (a[axis + 2] < b[axis + 2] ? a[axis + 2] : b[axis + 2]) -
         (a[axis] > b[axis] ? a[axis] : b[axis]);
}
HOST_DEVICE double span_hull(const double *a, const double *b, int axis) {
  return (a[axis + 2] > b[axis + 2] ? a[axis + 2] : b[axis + 2]) -
         (a[axis] < b[axis] ? a[axis] : b[axis]);
}

HOST_DEVICE double box_area(const double *a) {
  return (a[BOUND_X2] - a[BOUND_X1]) * (a[BOUND_Y2] - a[BOUND_Y1]);
}

HOST_DEVICE double box_distance(const double *a, const double *b) {
  double sum = 0;
  for (int i = 0; i < BOUNDS; i++) sum += a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
  return sum;
}

/* With slope not NULL: slope (4) = dGIoU / da, that of a side that both share is a's. */
HOST_DEVICE double box_giou(const double *a, const double *b, double *slope) {
  double inner[2] = {span_inner(a, b, 0), span_inner(a, b, 1)};
  double hull[2] = {span_hull(a, b, 0), span_hull(a, b, 1)};
  int meet = inner[0] > 0 && inner[1] > 0;
  double shared = meet ? inner[0] * inner[1] : 0, all = hull[0] * hull[1];
  double both = box_area(a) + box_area(b) - shared;
  double u = both + GIOU_EPSILON, c = all + GIOU_EPSILON;
  for (int axis = 0; slope && axis < 2; axis++) {
    double by_union = 1 / c - shared / (u * u), by_hull = -u / (c * c) * hull[1 - axis];
    double by_shared = meet ? (1 / u - by_union) * inner[1 - axis] : 0;
    double by_area = by_union * (a[3 - axis] - a[1 - axis]);
    slope[axis] =
        -by_area - (a[axis] >= b[axis] ? by_shared : 0) - (a[axis] <= b[axis] ? by_hull : 0);
    slope[axis + 2] = by_area + (a[axis + 2] <= b[axis + 2] ? by_shared : 0) +
                      (a[axis + 2] >= b[axis + 2] ? by_hull : 0);
  }
  return shared / u - (all - both) / c;
}

#endif
