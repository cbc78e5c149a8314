#define XXH_STATIC_LINKING_ONLY /* the size of a state */

#include "src/data/prepare/preprocess.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

/* ---- the part that was recorded -------------------------------------------------------------- */

enum { OUTSIDE, INSIDE, PERHAPS_A_HOLE };

/* Empty voxels that were reached from the border and whose neighbours are still to be seen. */
typedef struct Open {
  size_t *voxel;
  size_t count, capacity;
} Open;

static bool open_add(Open *open, uint8_t *inside, size_t voxel) {
  if (inside[voxel] != PERHAPS_A_HOLE) return true;
  inside[voxel] = OUTSIDE;
  if (open->count == open->capacity) {
    size_t capacity = open->capacity ? 2 * open->capacity : 1 << 12;
    size_t *grown = realloc(open->voxel, capacity * sizeof *grown);
    if (!grown) return false;
    open->voxel = grown;
    open->capacity = capacity;
  }
  open->voxel[open->count++] = voxel;
  return true;
}

static bool border_open(const int *dim, Open *open, uint8_t *inside) {
  size_t voxel = 0;
  bool good = true;
  for (int d = 0; d < dim[0]; d++)
    for (int h = 0; h < dim[1]; h++)
      for (int w = 0; w < dim[2]; w++, voxel++) {
        bool border =
            d == 0 || h == 0 || w == 0 || d == dim[0] - 1 || h == dim[1] - 1 || w == dim[2] - 1;
        if (border) good = open_add(open, inside, voxel) && good;
      }
  return good;
}

static bool neighbours_open(const int *dim, Open *open, uint8_t *inside) {
  const size_t stride[3] = {(size_t)dim[1] * (size_t)dim[2], (size_t)dim[2], 1};
  while (open->count) {
    size_t voxel = open->voxel[--open->count];
    for (int axis = 0; axis < 3; axis++) {
      int at = (int)(voxel / stride[axis] % (size_t)dim[axis]);
      if (at > 0 && !open_add(open, inside, voxel - stride[axis])) return false;
      if (at < dim[axis] - 1 && !open_add(open, inside, voxel + stride[axis])) return false;
    }
  }
  return true;
}

uint8_t *nonzero_mask(const Image *image, Error *error) {
  size_t voxels = grid_voxels(&image->grid), channels = (size_t)image->channels;
  uint8_t *inside = malloc(voxels);
  Open open = {0};
  for (size_t i = 0; inside && i < voxels; i++) {
    bool used = false;
    for (size_t c = 0; c < channels; c++) used |= image->data[i * channels + c] != 0;
    inside[i] = used ? INSIDE : PERHAPS_A_HOLE;
  }
  bool good = inside && border_open(image->grid.dim, &open, inside) &&
              neighbours_open(image->grid.dim, &open, inside);
  for (size_t i = 0; good && i < voxels; i++) inside[i] = inside[i] != OUTSIDE;
  free(open.voxel);
  if (good) return inside;
  fail(error, "out of memory for the mask of %zu voxels", voxels);
  free(inside);
  return NULL;
}

/* ---- what a plan says ------------------------------------------------------------------------ */

static bool number_read(const json_t *json, const char *key, const char *where, double *out,
                        Error *error) {
  const json_t *value = json_object_get(json, key);
  if (!json_is_number(value))
    return fail(error, "%s: preprocessing: \"%s\" is missing or no number", where, key);
  *out = json_number_value(value);
  return true;
}

static bool channel_read(Normaliser *normaliser, const json_t *json, const char *where,
                         Error *error) {
  const char *name = json_string_value(json_object_get(json, "scheme"));
  int i = normaliser->channels++;
  Scheme *scheme = &normaliser->channel[i].scheme;
  if (!scheme_parse(name, scheme))
    return fail(error,
                "%s: preprocessing: channel %d: scheme \"%s\": expected %s, %s, %s, %s or %s",
                where, i, name ? name : "", scheme_names[0], scheme_names[1], scheme_names[2],
                scheme_names[3], scheme_names[4]);
  if (*scheme != SCHEME_CT) return true;
  return number_read(json, "low", where, &normaliser->channel[i].low, error) &&
         number_read(json, "high", where, &normaliser->channel[i].high, error) &&
         number_read(json, "mean", where, &normaliser->channel[i].mean, error) &&
         number_read(json, "sd", where, &normaliser->channel[i].sd, error);
}

bool preprocessing_read(Preprocessing *p, const json_t *json, const char *where, Error *error) {
  *p = (Preprocessing){0};
  const char *orientation = json_string_value(json_object_get(json, "orientation"));
  const json_t *mm = json_object_get(json, "spacing_mm");
  const json_t *channels = json_object_get(json, "channels");
  if (!orientation || strlen(orientation) != 3 || json_array_size(mm) != 3)
    return fail(error,
                "%s: preprocessing needs \"orientation\" (RAS, say) and three \"spacing_mm\"",
                where);
  Error inner = {""};
  if (!orientation_check(orientation, &inner)) return fail(error, "%s: %s", where, inner.text);
  strcpy(p->orientation, orientation);
  for (size_t i = 0; i < 3; i++) {
    p->mm[i] = json_number_value(json_array_get(mm, i));
    if (!(p->mm[i] > 0)) return fail(error, "%s: preprocessing: spacing_mm must be above 0", where);
  }
  p->normaliser.masked = json_is_true(json_object_get(json, "nonzero_mask"));
  size_t count = json_array_size(channels), i;
  if (count < 1 || count > CHANNELS_MAX)
    return fail(error, "%s: preprocessing: expected 1..%d \"channels\", found %zu", where,
                CHANNELS_MAX, count);
  json_t *item;
  json_array_foreach((json_t *)channels, i, item) {
    if (!channel_read(&p->normaliser, item, where, error)) return false;
  }
  return true;
}

bool preprocessing_fits(const json_t *json, const Dataset *dataset, Error *error) {
  const json_t *channels = json_object_get(json, "channels");
  int count = (int)json_array_size(channels);
  if (count != dataset->channels)
    return fail(error,
                "%s: the plan is for %d channel(s), dataset.json names %d; `harness data plan` "
                "makes another",
                dataset->dir, count, dataset->channels);
  for (int i = 0; i < count; i++) {
    const json_t *channel = json_array_get(channels, (size_t)i);
    const char *name = json_string_value(json_object_get(channel, "name"));
    if (name && strcmp(name, dataset->channel_name[i]))
      return fail(error,
                  "%s: the plan is for channel %d being \"%s\", dataset.json names it \"%s\", and "
                  "the name decides over its intensities; `harness data plan` makes another",
                  dataset->dir, i, name, dataset->channel_name[i]);
  }
  return true;
}

static void hash_json(XXH3_state_t *state, json_t *json) {
  char *text = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);
  CHECK(text, "a labelling cannot be written as JSON");
  XXH3_64bits_update(state, text, strlen(text));
  free(text);
  json_decref(json);
}

uint64_t preprocessing_key(const Preprocessing *p, const Dataset *dataset) {
  const double value[] = {PREPROCESSING_METHOD, p->mm[0], p->mm[1], p->mm[2], p->normaliser.masked};
  const int32_t count[] = {dataset->channels, dataset->labels, dataset->labelling.values};
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, p->orientation, 3);
  XXH3_64bits_update(&state, value, sizeof value);
  XXH3_64bits_update(&state, count, sizeof count);
  hash_json(&state, labelling_json(&dataset->labelling));
  for (int i = 0; i < p->normaliser.channels; i++) {
    const typeof(p->normaliser.channel[0]) *c = &p->normaliser.channel[i];
    bool ct = c->scheme == SCHEME_CT;
    const double scale[] = {c->scheme, ct ? c->low : 0, ct ? c->high : 0, ct ? c->mean : 0,
                            ct ? c->sd : 0};
    XXH3_64bits_update(&state, scale, sizeof scale);
  }
  return XXH3_64bits_digest(&state);
}

/* ---- volumes --------------------------------------------------------------------------------- */

static bool frame_of(const Preprocessing *p, const Image *source, Frame *frame, Error *error) {
  if (source->channels != p->normaliser.channels)
    return fail(error, "%d channel(s), but the plan is for %d", source->channels,
                p->normaliser.channels);
  if (!frame_make(frame, &source->grid, p->orientation, error)) return false;
  frame_crop(frame, source);
  frame_resample(frame, p->mm);
  for (int axis = 0; axis < 3; axis++)
    if (frame->dim[axis] == RESAMPLED_MOST)
      return fail(error,
                  "at the plan's spacing of %g mm, %d voxels of %g mm become more than %d: is the "
                  "unit of either right?",
                  p->mm[axis], frame->box_dim[axis], frame->box_mm[axis], RESAMPLED_MOST);
  return true;
}

/* What the frame's box holds, before it is resampled. label.data is NULL where there is none;
 * inside: of nonzero_mask and every labelled voxel, NULL where it is not needed. */
typedef struct Box {
  Image image;
  LabelMap label;
  uint8_t *inside;
} Box;

static bool box_take(Box *box, const Preprocessing *p, const Frame *frame, const Image *image,
                     const LabelMap *label, Error *error) {
  Grid grid = grid_make(frame->box_dim, frame->box_mm);
  *box = (Box){0};
  if (!image_alloc(&box->image, &grid, image->channels, error)) return false;
  frame_take(frame, image->data, (size_t)image->channels * sizeof(float), box->image.data);
  if (label && !label_alloc(&box->label, &grid, error)) return false;
  if (label) frame_take(frame, label->data, 1, box->label.data);
  if (!label && !p->normaliser.masked) return true;
  box->inside = nonzero_mask(&box->image, error);
  if (!box->inside) return false;
  for (size_t i = 0; label && i < grid_voxels(&grid); i++)
    box->inside[i] |= box->label.data[i] != 0;
  return true;
}

static void box_free(Box *box) {
  if (box->image.data) image_free(&box->image);
  if (box->label.data) label_free(&box->label);
  free(box->inside);
}

static bool image_resample(const Frame *frame, const Image *box, Image *prepared, Error *error) {
  Grid grid = grid_make(frame->dim, frame->mm);
  Interpolation order[3];
  resample_orders(frame->box_mm, frame->mm, CUBIC, order);
  if (!image_alloc(prepared, &grid, box->channels, error)) return false;
  if (resample_values(box->data, frame->box_dim, box->channels, frame->dim, order, prepared->data,
                      error))
    return true;
  image_free(prepared);
  return false;
}

/* The values in use, ascending, become 1, 2, ...; 0 is what lies outside. A map that uses all 256
 * keeps them, outside being 0 as well. */
static void outside_mark(LabelMap *map, const uint8_t *inside, uint8_t value_of[256]) {
  size_t voxels = grid_voxels(&map->grid);
  bool used[256] = {0};
  uint8_t mark[256] = {0};
  int marks = 0;
  for (size_t i = 0; i < voxels; i++) used[map->data[i]] = true;
  for (int value = 0; value < 256; value++) marks += used[value];
  int next = marks < 256;
  for (int value = 0; value < 256; value++)
    if (used[value]) mark[value] = (uint8_t)next, value_of[next++] = (uint8_t)value;
  for (size_t i = 0; i < voxels; i++)
    map->data[i] = marks == 256 || inside[i] ? mark[map->data[i]] : 0;
}

static bool label_resample(const Frame *frame, Box *box, LabelMap *prepared, Error *error) {
  Grid grid = grid_make(frame->dim, frame->mm);
  Interpolation order[3];
  uint8_t value_of[256] = {0};
  resample_orders(frame->box_mm, frame->mm, LINEAR, order);
  if (!label_alloc(prepared, &grid, error)) return false;
  outside_mark(&box->label, box->inside, value_of);
  resample_labels(box->label.data, frame->box_dim, frame->dim, order, prepared->data);
  for (size_t i = 0; i < grid_voxels(&grid); i++) prepared->data[i] = value_of[prepared->data[i]];
  return true;
}

/* label and prepared_label may be NULL, both. */
static bool prepare(const Preprocessing *p, const Image *image, const LabelMap *label,
                    Image *prepared, LabelMap *prepared_label, Frame *frame, Error *error) {
  *prepared = (Image){0};
  if (!frame_of(p, image, frame, error)) return false;
  Box box;
  bool good = box_take(&box, p, frame, image, label, error) &&
              normaliser_apply(&p->normaliser, box.inside, &box.image, error) &&
              image_resample(frame, &box.image, prepared, error);
  if (good && label && !label_resample(frame, &box, prepared_label, error)) {
    image_free(prepared);
    good = false;
  }
  box_free(&box);
  return good;
}

bool prepare_image(const Preprocessing *p, const Image *source, Image *prepared, Frame *frame,
                   Error *error) {
  return prepare(p, source, NULL, prepared, NULL, frame, error);
}

bool prepare_volume(const Preprocessing *p, const Volume *source, Volume *prepared, Frame *frame,
                    Error *error) {
  *prepared = (Volume){.name = source->name};
  return prepare(p, &source->image, &source->label, &prepared->image, &prepared->label, frame,
                 error);
}
