/* Distance and overlap of the matched boxes (N, K, 4) and those of their classes' voxels, over all
 * D (plane_box.h: bounds and GIoU). With M matched boxes in the batch, t the box of the class:
 *   l1 = 1/M sum over matched (n, q) of sum of |b - t|, giou = 1/M sum of 1 - GIoU(b, t).
 * M counts as 1 when it is 0. Boxes of unmatched queries get no gradient; what is not known belongs
 * to no class. */
#include "kernels/options.h"
#include "kernels/plane_box.h"

#include <string.h>

static const Option options[] = {{"regions", OPTION_BOOL, offsetof(BoxLossOptions, regions), 0, 0,
                                  1, NULL, NULL, "labels are sets of classes, as bits"},
                                 {0}};

enum { IN_BOXES, IN_LABELS, IN_ASSIGNMENT };
enum { OUT_L1, OUT_GIOU, OUT_TARGETS };

static bool shape(Call *call, Error *error) {
  const Tensor *boxes = &call->in[IN_BOXES], *labels = &call->in[IN_LABELS];
  const Tensor *assignment = &call->in[IN_ASSIGNMENT];
  if (boxes->rank != 3 || boxes->dim[2] != BOUNDS)
    return fail(error, "box_loss: boxes are (N, K, 4), found %s", tensor_shape_text(boxes));
  if (labels->rank != 4 || labels->type != I32 || labels->dim[0] != boxes->dim[0])
    return fail(error, "box_loss: integer labels (N, D, H, W) expected for boxes %s, found %s",
                tensor_shape_text(boxes), tensor_shape_text(labels));
  if (assignment->rank != 2 || assignment->type != I32 ||
      memcmp(assignment->dim, boxes->dim, 2 * sizeof boxes->dim[0]) != 0)
    return fail(error, "box_loss: integer assignment (N, K) expected for boxes %s, found %s",
                tensor_shape_text(boxes), tensor_shape_text(assignment));
  call->out[OUT_L1] = call->out[OUT_GIOU] = tensor_make(boxes->type, 0, NULL);
  call->out[OUT_TARGETS] = tensor_make(boxes->type, 3, boxes->dim);
  return true;
}

/* The bounds of the classes below K of one sample. */
static bool prepare(Call *call, Error *error) {
  (void)error;
  call->scratch_bytes = (size_t)call->in[IN_BOXES].dim[1] * BOUNDS * sizeof(int32_t);
  return true;
}

static double matched_count(const Call *call) {
  const int32_t *assignment = call->in[IN_ASSIGNMENT].data;
  int64_t count = 0;
  for (int64_t i = 0; i < tensor_count(&call->in[IN_ASSIGNMENT]); i++) count += assignment[i] >= 0;
  return count ? (double)count : 1;
}

static void sample_bounds(const Call *call, int64_t n, int32_t *bounds) {
  const BoxLossOptions *o = call->options;
  const int64_t *dim = call->in[IN_LABELS].dim;
  int classes = (int)call->in[IN_BOXES].dim[1], height = (int)dim[2], width = (int)dim[3];
  int64_t voxels = dim[1] * height * width;
  const int32_t *label = (const int32_t *)call->in[IN_LABELS].data + n * voxels;
  for (int c = 0; c < classes; c++) bounds_start(bounds + BOUNDS * c, width, height);
  for (int64_t v = 0; v < voxels; v++)
    bounds_add_label(bounds, classes, label[v], o->regions, (int)(v % width),
                     (int)(v / width % height));
}

static void read_box(const REAL *from, double *box) {
  for (int i = 0; i < BOUNDS; i++) box[i] = from[i];
}

static void forward(const Call *call) {
  int64_t samples = call->in[IN_BOXES].dim[0], queries = call->in[IN_BOXES].dim[1];
  const int64_t *dim = call->in[IN_LABELS].dim;
  int32_t *bounds = call->scratch;
  double l1 = 0, giou = 0;
  memset(call->out[OUT_TARGETS].data, 0, tensor_bytes(&call->out[OUT_TARGETS]));
  for (int64_t i = 0; i < samples * queries; i++) {
    if (i % queries == 0) sample_bounds(call, i / queries, bounds);
    int32_t assigned = ((const int32_t *)call->in[IN_ASSIGNMENT].data)[i];
    REAL *kept = (REAL *)call->out[OUT_TARGETS].data + i * BOUNDS;
    double box[BOUNDS], target[BOUNDS];
    if (assigned < 0) continue;
    read_box((const REAL *)call->in[IN_BOXES].data + i * BOUNDS, box);
    bounds_box(bounds + BOUNDS * assigned, (int)dim[3], (int)dim[2], target);
    l1 += box_distance(box, target);
    giou += 1 - box_giou(box, target, NULL);
    for (int k = 0; k < BOUNDS; k++) kept[k] = (REAL)target[k];
  }
  *(REAL *)call->out[OUT_L1].data = (REAL)(l1 / matched_count(call));
  *(REAL *)call->out[OUT_GIOU].data = (REAL)(giou / matched_count(call));
}

static double scalar_gradient(const Call *call, int i) {
  return call->dout[i].data ? *(const REAL *)call->dout[i].data / matched_count(call) : 0;
}

static void backward(const Call *call) {
  double from_l1 = scalar_gradient(call, OUT_L1), from_giou = scalar_gradient(call, OUT_GIOU);
  REAL *dx = call->din[IN_BOXES].data;
  if (!dx) return;
  memset(dx, 0, tensor_bytes(&call->in[IN_BOXES]));
  for (int64_t i = 0; i < tensor_count(&call->in[IN_ASSIGNMENT]); i++) {
    double box[BOUNDS], target[BOUNDS], slope[BOUNDS];
    if (((const int32_t *)call->in[IN_ASSIGNMENT].data)[i] < 0) continue;
    read_box((const REAL *)call->in[IN_BOXES].data + i * BOUNDS, box);
    read_box((const REAL *)call->out[OUT_TARGETS].data + i * BOUNDS, target);
    box_giou(box, target, slope);
    for (int k = 0; k < BOUNDS; k++) {
      double side = (box[k] > target[k]) - (box[k] < target[k]);
      dx[i * BOUNDS + k] = (REAL)(from_l1 * side - from_giou * slope[k]);
    }
  }
}

const Op OP_ROW(box_loss) = {
    .name = "box_loss",
    .doc = "distance and generalised overlap of the matched boxes",
    .min_in = 3,
    .max_in = 3,
    .n_out = 3,
    .saves = {[IN_BOXES] = SAVES_IN(IN_BOXES) | SAVES_IN(IN_ASSIGNMENT) | SAVES_OUT(OUT_TARGETS)},
    .constant = SAVES_IN(IN_LABELS) | SAVES_IN(IN_ASSIGNMENT),
    .options = options,
    .options_bytes = sizeof(BoxLossOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward, .prepare = prepare},
};
