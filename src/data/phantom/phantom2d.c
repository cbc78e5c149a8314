#include "src/data/phantom/phantom2d.h"

#include "src/data/phantom/canvas.h"
#include "src/data/phantom/phantom_folder.h"

#include <limits.h>
#include <string.h>

const char *const phantom2d_kinds[PHANTOM2D_KINDS] = {"lesion", "nuclei", "vessels"};

static const struct {
  const char *label, *description;
  void (*draw)(Canvas *canvas, Rng *rng);
} kinds[PHANTOM2D_KINDS] = {
    {"lesion", "Synthetic skin lesions, not patient data", draw_lesion},
    {"nucleus", "Synthetic nuclei, not microscopy", draw_nuclei},
    {"vessel", "Synthetic retinal vessels, not patient data", draw_vessels},
};

Phantom2dOptions phantom2d_defaults(void) {
  return (Phantom2dOptions){
      .variant = 1, .size = {128, 128}, .cases = 200, .validation = 60, .seed = 1};
}

bool phantom2d_parse(const char *name, Phantom2dKind *kind, Error *error) {
  for (int i = 0; i < PHANTOM2D_KINDS; i++)
    if (!strcmp(name, phantom2d_kinds[i])) {
      *kind = (Phantom2dKind)i;
      return true;
    }
  return fail(error, "pictures of \"%s\": expected lesion, nuclei or vessels", name);
}

bool phantom2d_case(const Phantom2dOptions *o, int index, Image *image, LabelMap *label,
                    Image *numbers, Error *error) {
  Grid grid = grid_picture(o->size[0], o->size[1]);
  size_t pixels = grid_voxels(&grid);
  *label = (LabelMap){0};
  *image = (Image){0};
  if (numbers) *numbers = (Image){0};
  float *cover = malloc(pixels * sizeof *cover);
  bool good = (cover || fail(error, "out of memory for a picture of %zu pixels", pixels)) &&
              image_alloc(image, &grid, PHANTOM2D_COLOURS, error) &&
              label_alloc(label, &grid, error) &&
              (!numbers || image_alloc(numbers, &grid, 1, error));
  if (good) {
    /* Items above 2^33: apart from the abdomens'. */
    uint64_t item = ((uint64_t)(2 + o->kind) << 33) + (uint64_t)index;
    Rng rng = rng_make(o->seed, RNG_PHANTOM, item);
    Canvas canvas = {o->size[0], o->size[1],  image->data,
                     cover,      label->data, numbers ? numbers->data : NULL,
                     o->variant};
    canvas_clear(&canvas);
    kinds[o->kind].draw(&canvas, &rng);
  } else {
    image_free(image);
    label_free(label);
  }
  free(cover);
  return good;
}

/* ---- the data set ---------------------------------------------------------------------------- */

static const char ENDING[] = ".png";

static bool options_check(const Phantom2dOptions *o, Error *error) {
  for (int axis = 0; axis < 2; axis++)
    if (o->size[axis] < 32 || o->size[axis] > 4096)
      return fail(error, "pictures of %dx%d: every edge must be 32..4096", o->size[0], o->size[1]);
  if (o->variant < 1 || o->variant > PHANTOM2D_VARIANTS)
    return fail(error, "pictures: variant %d: expected 1..%d", o->variant, PHANTOM2D_VARIANTS);
  if (o->cases < 2 || o->cases > 999)
    return fail(error, "pictures: %d cases: expected 2..999", o->cases);
  if (o->validation < 0 || o->validation >= o->cases)
    return fail(error, "pictures: %d cases leave room for a validation of 0..%d, not %d", o->cases,
                o->cases - 1, o->validation);
  return true;
}

static json_t *dataset_json(const Phantom2dOptions *o) {
  char seed[24]; /* JSON integers are signed */
  snprintf(seed, sizeof seed, "%llu", (unsigned long long)o->seed);
  json_t *mark = json_pack("{s:i, s:s, s:[ii], s:i, s:i, s:s}", "version", o->variant, "picture",
                           phantom2d_kinds[o->kind], "size", o->size[0], o->size[1], "cases",
                           o->cases, "validation", o->validation, "seed", seed);
  return json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:{s:i, s:i}, s:i, s:s, s:i, s:o}", "name",
                   "phantom2d", "description", kinds[o->kind].description, "channel_names", "0",
                   "rgb_to_0_1", "1", "rgb_to_0_1", "2", "rgb_to_0_1", "labels", "background", 0,
                   kinds[o->kind].label, 1, "numTraining", o->cases, "file_ending", ENDING,
                   "harness_validation", o->validation, "harness_phantom", mark);
}

static bool is_numbered(const Phantom2dOptions *o) {
  return o->variant > 1 && o->kind == PHANTOM2D_NUCLEI;
}

static bool case_write(const void *user, int index, const char *dir, Error *error) {
  const Phantom2dOptions *o = user;
  const char *name = phantom2d_kinds[o->kind];
  char path[PATH_MAX];
  Image image, numbers;
  LabelMap label;
  bool numbered = is_numbered(o);
  if (!phantom2d_case(o, index, &image, &label, numbered ? &numbers : NULL, error)) return false;
  snprintf(path, sizeof path, "%s/imagesTr/%s_%03d_0000%s", dir, name, index, ENDING);
  bool fine = image_write(&image, VOXEL_U8, path, error);
  snprintf(path, sizeof path, "%s/labelsTr/%s_%03d%s", dir, name, index, ENDING);
  fine = fine && label_write(&label, path, error);
  snprintf(path, sizeof path, "%s/instancesTr/%s_%03d%s", dir, name, index, ENDING);
  fine = fine && (!numbered || image_write(&numbers, VOXEL_I16, path, error));
  image_free(&image);
  label_free(&label);
  if (numbered) image_free(&numbers);
  return fine;
}

bool phantom2d_make(const Phantom2dOptions *options, const char *dir, Error *error) {
  if (!options_check(options, error)) return false;
  PhantomFolder folder = {dataset_json(options), options->cases, case_write, options,
                          is_numbered(options)};
  bool good = phantom_folder_make(&folder, dir, error);
  json_decref(folder.description);
  return good;
}
