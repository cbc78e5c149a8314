#include "src/data/phantom/scenes.h"

#include "src/data/phantom/phantom_folder.h"
#include "src/data/phantom/scenes_draw.h"

#include <limits.h>
#include <math.h>
#include <string.h>

enum { BOX_INSIDE = 1, MASK_INSIDE = 4, DRAWS_MOST = 1000 };
static const double OFF = .1; /* of its size a box's edge is off by so much, at most */

/* ---- a scene and what is asked for ----------------------------------------------------------- */

typedef struct Scene {
  int height, width, objects;
  float *colour;   /* (H,W,3) */
  uint8_t *object; /* (H,W) */
  int target[SCENES_TARGETS];
} Scene;

/* Four of which enough is seen, of the objects and the ground that they lie on, which has holes;
 * false: there are not so many. */
static bool choose_targets(Scene *s, Rng *rng) {
  int seen[SCENE_OBJECTS + 1] = {0}, large[SCENE_OBJECTS + 1], count = 0;
  int pixels = s->height * s->width, enough = pixels / 160;
  for (int i = 0; i < pixels; i++) seen[s->object[i]]++;
  for (int i = 0; i <= s->objects; i++)
    if (seen[i] >= enough && (i == 0 || seen[i] < pixels / 2)) large[count++] = i;
  for (int t = 0; t < SCENES_TARGETS && t < count; t++) {
    int taken = t + (int)rng_below(rng, (uint32_t)(count - t)), other = large[t];
    s->target[t] = large[taken];
    large[taken] = other;
  }
  return count >= SCENES_TARGETS;
}

static void scene_make(Scene *s, Rng *rng) {
  for (int draws = 0; draws < DRAWS_MOST; draws++) {
    s->objects = scene_draw(s->height, s->width, rng, s->colour, s->object);
    if (choose_targets(s, rng)) return;
  }
  CHECK(false, "no scene of %dx%d pixels shows %d objects", s->height, s->width, SCENES_TARGETS);
}

/* ---- prompts --------------------------------------------------------------------------------- */

static int moved(int edge, int size, int most, Rng *rng) {
  int at = (int)rint(edge + OFF * size * rng_between(rng, -1, 1));
  return at < 0 ? 0 : at > most ? most : at;
}

/* Around the seen part of an object; low, high: first and last pixel along H and W. */
static void box_of(const Scene *s, int object, Rng *rng, int low[2], int high[2]) {
  int edge[2] = {s->height, s->width};
  for (int axis = 0; axis < 2; axis++) low[axis] = edge[axis], high[axis] = -1;
  for (int i = 0; i < s->height * s->width; i++) {
    if (s->object[i] != object) continue;
    int at[2] = {i / s->width, i % s->width};
    for (int axis = 0; axis < 2; axis++) {
      if (at[axis] < low[axis]) low[axis] = at[axis];
      if (at[axis] > high[axis]) high[axis] = at[axis];
    }
  }
  for (int axis = 0; axis < 2; axis++) {
    int size = high[axis] - low[axis] + 1;
    low[axis] = moved(low[axis], size, edge[axis] - 1, rng);
    high[axis] = moved(high[axis], size, edge[axis] - 1, rng);
    if (high[axis] < low[axis]) high[axis] = low[axis];
  }
}

/* Into a channel of a slice of the image. */
static void put_box(const Scene *s, int object, Rng *rng, float *channel) {
  int low[2], high[2];
  box_of(s, object, rng, low, high);
  for (int h = 0; h < s->height; h++)
    for (int w = 0; w < s->width; w++) {
      bool in = h >= low[0] && h <= high[0] && w >= low[1] && w <= high[1];
      channel[(h * s->width + w) * SCENES_CHANNELS] = in ? BOX_INSIDE : -BOX_INSIDE;
    }
}

/* Whether the pixel, or one beside it, is of the object (any) or is not. */
static bool near_by(const Scene *s, int object, int h, int w, bool of) {
  static const int step[5][2] = {{0, 0}, {-1, 0}, {1, 0}, {0, -1}, {0, 1}};
  for (int i = 0; i < 5; i++) {
    int y = h + step[i][0], x = w + step[i][1];
    if (y < 0 || x < 0 || y >= s->height || x >= s->width) continue;
    if ((s->object[y * s->width + x] == object) == of) return true;
  }
  return false;
}

static void put_mask(const Scene *s, int object, Rng *rng, float *channel) {
  enum { SHRUNK, AS_IT_IS, GROWN, WAYS };
  uint32_t way = rng_below(rng, WAYS);
  for (int h = 0; h < s->height; h++)
    for (int w = 0; w < s->width; w++) {
      bool in = s->object[h * s->width + w] == object;
      if (way == SHRUNK) in = !near_by(s, object, h, w, false);
      if (way == GROWN) in = near_by(s, object, h, w, true);
      channel[(h * s->width + w) * SCENES_CHANNELS] = in ? MASK_INSIDE : -MASK_INSIDE;
    }
}

/* ---- a case ---------------------------------------------------------------------------------- */

static void slice_fill(const Scene *s, Rng *rng, float *image, uint8_t *label) {
  enum { BOXES = SCENES_COLOURS, MASKS = BOXES + SCENES_TARGETS };
  for (int i = 0; i < s->height * s->width; i++) {
    memcpy(&image[i * SCENES_CHANNELS], &s->colour[3 * i], 3 * sizeof *image);
    for (int t = 0; t < SCENES_TARGETS; t++)
      if (s->object[i] == s->target[t]) label[i] = (uint8_t)(t + 1);
  }
  for (int t = 0; t < SCENES_TARGETS; t++) put_box(s, s->target[t], rng, &image[BOXES + t]);
  for (int m = 0; m < SCENES_MASKED; m++)
    put_mask(s, s->target[SCENES_TARGETS - SCENES_MASKED + m], rng, &image[MASKS + m]);
}

bool scenes_case(const ScenesOptions *o, int index, Image *image, LabelMap *label, Error *error) {
  Grid grid = grid_make(o->size, (const double[]){1, 1, 1});
  size_t pixels = (size_t)o->size[1] * (size_t)o->size[2];
  *label = (LabelMap){0};
  if (!image_alloc(image, &grid, SCENES_CHANNELS, error)) return false;
  Scene scene = {.height = o->size[1],
                 .width = o->size[2],
                 .colour = malloc(3 * pixels * sizeof *scene.colour),
                 .object = malloc(pixels)};
  bool good = scene.colour && scene.object && label_alloc(label, &grid, error);
  for (int d = 0; good && d < o->size[0]; d++) {
    /* Beyond those of phantom2d.h. */
    uint64_t item = (5ull << 33) + (uint64_t)index * (1u << 16) + (uint64_t)d;
    Rng rng = rng_make(o->seed, RNG_PHANTOM, item);
    scene_make(&scene, &rng);
    slice_fill(&scene, &rng, image->data + (size_t)d * pixels * SCENES_CHANNELS,
               label->data + (size_t)d * pixels);
  }
  free(scene.colour);
  free(scene.object);
  if (good) return true;
  image_free(image);
  return fail(error, "out of memory for scenes of %zu pixels", pixels);
}

/* ---- the data set ---------------------------------------------------------------------------- */

static bool options_check(const ScenesOptions *o, Error *error) {
  for (int axis = 1; axis < 3; axis++)
    if (o->size[axis] < 16 || o->size[axis] > 1024)
      return fail(error, "scenes of %dx%d: every edge must be 16..1024", o->size[1], o->size[2]);
  if (o->size[0] < 1 || o->size[0] > 1024)
    return fail(error, "%d scenes a case: expected 1..1024", o->size[0]);
  if (o->cases < 2 || o->cases > 999)
    return fail(error, "scenes: %d cases: expected 2..999", o->cases);
  if (o->validation < 0 || o->validation >= o->cases)
    return fail(error, "scenes: %d cases leave room for a validation of 0..%d, not %d", o->cases,
                o->cases - 1, o->validation);
  return true;
}

static json_t *dataset_json(const ScenesOptions *o) {
  static const char *const channels[SCENES_CHANNELS] = {
      "red", "green", "blue", "noNorm", "noNorm", "noNorm", "noNorm", "noNorm", "noNorm"};
  char seed[24], number[8]; /* JSON integers are signed */
  snprintf(seed, sizeof seed, "%llu", (unsigned long long)o->seed);
  json_t *names = json_object();
  for (int i = 0; i < SCENES_CHANNELS; i++) {
    snprintf(number, sizeof number, "%d", i);
    json_object_set_new(names, number, json_string(channels[i]));
  }
  json_t *mark = json_pack("{s:i, s:s, s:[iii], s:i, s:i, s:s}", "version", 2, "picture", "scenes",
                           "size", o->size[0], o->size[1], o->size[2], "cases", o->cases,
                           "validation", o->validation, "seed", seed);
  return json_pack("{s:s, s:s, s:o, s:{s:i, s:i, s:i, s:i, s:i}, s:i, s:s, s:i, s:o}", "name",
                   "scenes", "description", "Synthetic scenes with prompts, a slice each",
                   "channel_names", names, "labels", "background", 0, "box 1", 1, "box 2", 2,
                   "box and mask", 3, "mask", 4, "numTraining", o->cases, "file_ending", ".nii.gz",
                   "harness_validation", o->validation, "harness_phantom", mark);
}

static bool case_write(const void *user, int index, const char *dir, Error *error) {
  const ScenesOptions *o = user;
  char path[PATH_MAX];
  Image image;
  LabelMap label;
  if (!scenes_case(o, index, &image, &label, error)) return false;
  snprintf(path, sizeof path, "%s/imagesTr/scenes_%03d.nii.gz", dir, index);
  bool fine = image_write(&image, VOXEL_I16, path, error);
  snprintf(path, sizeof path, "%s/labelsTr/scenes_%03d.nii.gz", dir, index);
  fine = fine && label_write(&label, path, error);
  image_free(&image);
  label_free(&label);
  return fine;
}

bool scenes_make(const ScenesOptions *options, const char *dir, Error *error) {
  if (!options_check(options, error)) return false;
  PhantomFolder folder = {dataset_json(options), options->cases, case_write, options, false};
  bool good = phantom_folder_make(&folder, dir, error);
  json_decref(folder.description);
  return good;
}
