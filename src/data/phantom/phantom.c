#include "src/data/phantom/phantom.h"

#include "src/data/phantom/phantom_shape.h"

#include <math.h>
#include <string.h>

enum { SUBSAMPLES = 3 }; /* per axis, in voxels that a surface may cross */

static const double field_of_view[3] = {300, 236, 316}; /* mm, D, H, W */

static const char *const organ_name[PHANTOM_ORGANS + 1] = {
    "background",
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "esophagus",
    "liver",
    "stomach",
    "aorta",
    "postcava",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
    "duodenum",
    "bladder",
    "prostate/uterus",
}; /* AMOS22's, in its order */

PhantomOptions phantom_defaults(void) {
  return (PhantomOptions){.size = {48, 48, 48},
                          .cases = 30,
                          .validation = 6,
                          .organs = PHANTOM_ORGANS,
                          .anatomy = 1,
                          .noise_hu = 15,
                          .seed = 1};
}

double phantom_ml(int anatomy, int organ) {
  return body_of(anatomy)->ml[organ];
}

/* label[id]: the label of AMOS organ id among the `organs` largest, 0 when it is left out. */
static void labels_assign(const PhantomOptions *options, uint8_t label[PHANTOM_ORGANS + 1]) {
  const double *ml = body_of(options->anatomy)->ml;
  memset(label, 0, PHANTOM_ORGANS + 1);
  int next = 1;
  for (int id = 1; id <= PHANTOM_ORGANS; id++) {
    int larger = 0;
    for (int other = 1; other <= PHANTOM_ORGANS; other++) larger += ml[other] > ml[id];
    if (larger < options->organs) label[id] = (uint8_t)next++;
  }
}

void phantom_labels(const PhantomOptions *options, const char *name[PHANTOM_ORGANS + 1]) {
  uint8_t label[PHANTOM_ORGANS + 1];
  labels_assign(options, label);
  for (int id = 0; id <= PHANTOM_ORGANS; id++)
    if (!id || label[id]) name[label[id]] = organ_name[id];
}

/* A voxel's place in the body: the affine turns indices into the same millimetres. */
static Grid grid_centred(const int size[3]) {
  double spacing[3];
  for (int axis = 0; axis < 3; axis++) spacing[axis] = field_of_view[axis] / size[axis];
  Grid grid = grid_make(size, spacing);
  for (int axis = 0; axis < 3; axis++)
    grid.affine[2 - axis][3] = -0.5 * spacing[axis] * (size[axis] - 1);
  return grid;
}

typedef struct Canvas {
  const Grid *grid;
  const Anatomy *anatomy;
  double reach; /* half a voxel's diagonal: further from a surface than this, no supersampling */
  float *hu;
  uint8_t *label;
} Canvas;

static double distance_at(const Canvas *canvas, const Shape *shape, const double at[3]) {
  double distance = shape_distance(shape, at);
  if (shape->everywhere || distance > canvas->reach) return distance;
  return fmax(distance, shape_distance(&canvas->anatomy->shape[canvas->anatomy->cavity], at));
}

/* The share of the voxel centred at `middle` that lies inside. */
static double coverage(const Canvas *canvas, const Shape *shape, const double middle[3]) {
  double distance = distance_at(canvas, shape, middle);
  if (distance > canvas->reach) return 0;
  if (distance < -canvas->reach) return 1;
  int inside = 0;
  for (int i = 0; i < SUBSAMPLES * SUBSAMPLES * SUBSAMPLES; i++) {
    int part[3] = {i % SUBSAMPLES, i / SUBSAMPLES % SUBSAMPLES, i / SUBSAMPLES / SUBSAMPLES};
    double at[3];
    for (int axis = 0; axis < 3; axis++)
      at[axis] =
          middle[axis] + canvas->grid->spacing[2 - axis] * ((part[axis] + 0.5) / SUBSAMPLES - 0.5);
    inside += distance_at(canvas, shape, at) < 0;
  }
  return (double)inside / (SUBSAMPLES * SUBSAMPLES * SUBSAMPLES);
}

/* First and last index along body axis x, y or z that the shape's box touches. */
static void range_of(const Canvas *canvas, const Shape *shape, int axis, int *first, int *last) {
  double spacing = canvas->grid->spacing[2 - axis], origin = canvas->grid->affine[axis][3];
  int size = canvas->grid->dim[2 - axis];
  double low = floor((shape->low[axis] - origin) / spacing);
  double high = ceil((shape->high[axis] - origin) / spacing);
  *first = low < 0 ? 0 : low > size ? size : (int)low;
  *last = high < 0 ? -1 : high > size - 1 ? size - 1 : (int)high;
}

/* Partial volume: the shape is mixed in by the share of the voxel it covers; it owns the voxel from
 * one half on. */
static void paint(Canvas *canvas, const Shape *shape, const uint8_t label[PHANTOM_ORGANS + 1]) {
  const Grid *grid = canvas->grid;
  int first[3], last[3];
  for (int axis = 0; axis < 3; axis++) range_of(canvas, shape, axis, &first[axis], &last[axis]);
  for (int z = first[2]; z <= last[2]; z++)
    for (int y = first[1]; y <= last[1]; y++)
      for (int x = first[0]; x <= last[0]; x++) {
        int index[3] = {x, y, z};
        double middle[3];
        for (int axis = 0; axis < 3; axis++)
          middle[axis] = grid->affine[axis][3] + grid->spacing[2 - axis] * index[axis];
        double share = coverage(canvas, shape, middle);
        if (share == 0) continue;
        size_t at =
            ((size_t)z * (size_t)grid->dim[1] + (size_t)y) * (size_t)grid->dim[2] + (size_t)x;
        canvas->hu[at] = (float)((1 - share) * canvas->hu[at] + share * shape->hu);
        if (share >= 0.5) canvas->label[at] = label[shape->organ];
      }
}

static void noise_add(const PhantomOptions *options, int index, Image *image) {
  /* Items above 2^32: apart from the anatomy's. */
  Rng rng = rng_make(options->seed, RNG_PHANTOM, ((uint64_t)1 << 32) + (uint64_t)index);
  size_t voxels = grid_voxels(&image->grid);
  for (size_t i = 0; i < voxels; i++)
    image->data[i] += (float)(options->noise_hu * rng_normal(&rng));
}

bool phantom_case(const PhantomOptions *options, int index, Image *image, LabelMap *label,
                  Error *error) {
  Grid grid = grid_centred(options->size);
  *label = (LabelMap){0};
  if (!image_alloc(image, &grid, 1, error)) return false;
  if (!label_alloc(label, &grid, error)) {
    image_free(image);
    return false;
  }
  uint8_t number[PHANTOM_ORGANS + 1];
  bool wanted[PHANTOM_ORGANS + 1] = {false};
  labels_assign(options, number);
  for (int id = 1; id <= PHANTOM_ORGANS; id++) wanted[id] = number[id] > 0;
  Rng rng = rng_make(options->seed, RNG_PHANTOM, (uint64_t)index);
  Anatomy anatomy;
  anatomy_draw(&anatomy, body_of(options->anatomy), wanted, &rng);
  const double *mm = grid.spacing;
  Canvas canvas = {.grid = &grid,
                   .anatomy = &anatomy,
                   .reach = 0.5 * sqrt(mm[0] * mm[0] + mm[1] * mm[1] + mm[2] * mm[2]),
                   .hu = image->data,
                   .label = label->data};
  size_t voxels = grid_voxels(&grid);
  for (size_t i = 0; i < voxels; i++) image->data[i] = -1000; /* air */
  for (int i = 0; i < anatomy.shapes; i++) paint(&canvas, &anatomy.shape[i], number);
  noise_add(options, index, image);
  return true;
}
