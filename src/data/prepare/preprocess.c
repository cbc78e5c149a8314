#define XXH_INLINE_ALL
#include "src/data/prepare/preprocess.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

/* ---- what a plan says ------------------------------------------------------------------------*/

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
  const char *scheme = json_string_value(json_object_get(json, "scheme"));
  int i = normaliser->channels++;
  normaliser->channel[i].ct = scheme && !strcmp(scheme, "ct");
  if (!normaliser->channel[i].ct)
    return (scheme && !strcmp(scheme, "zscore")) ||
           fail(error, "%s: preprocessing: channel %d: scheme \"%s\": expected ct or zscore", where,
                i, scheme ? scheme : "");
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

uint64_t preprocessing_key(const Preprocessing *p) {
  enum { METHOD = 1 }; /* counts up when the same plan gives other voxels */
  double value[6 + 5 * CHANNELS_MAX] = {METHOD, p->mm[0], p->mm[1], p->mm[2], p->normaliser.masked};
  size_t used = 6;
  for (int i = 0; i < p->normaliser.channels; i++) {
    bool ct = p->normaliser.channel[i].ct;
    value[used++] = ct;
    value[used++] = ct ? p->normaliser.channel[i].low : 0;
    value[used++] = ct ? p->normaliser.channel[i].high : 0;
    value[used++] = ct ? p->normaliser.channel[i].mean : 0;
    value[used++] = ct ? p->normaliser.channel[i].sd : 0;
  }
  uint64_t seed = XXH3_64bits(p->orientation, 3);
  return XXH3_64bits_withSeed(value, used * sizeof *value, seed);
}

/* ---- volumes ---------------------------------------------------------------------------------*/

static bool frame_of(const Preprocessing *p, const Image *source, Frame *frame, Error *error) {
  if (source->channels != p->normaliser.channels)
    return fail(error, "%d channel(s), but the plan is for %d", source->channels,
                p->normaliser.channels);
  if (!frame_make(frame, &source->grid, p->orientation, error) || !frame_crop(frame, source, error))
    return false;
  frame_resample(frame, p->mm);
  return true;
}

bool prepare_image(const Preprocessing *p, const Image *source, Image *prepared, Frame *frame,
                   Error *error) {
  *prepared = (Image){0};
  if (!frame_of(p, source, frame, error)) return false;
  Image box;
  Grid box_grid = grid_make(frame->box_dim, frame->box_mm), grid = grid_make(frame->dim, frame->mm);
  if (!image_alloc(&box, &box_grid, source->channels, error)) return false;
  frame_take(frame, source->data, (size_t)source->channels * sizeof(float), box.data);
  normaliser_apply(&p->normaliser, &box);
  Interpolation order[3];
  resample_orders(frame->box_mm, frame->mm, CUBIC, order);
  bool good = image_alloc(prepared, &grid, source->channels, error) &&
              resample_values(box.data, frame->box_dim, source->channels, frame->dim, order,
                              prepared->data, error);
  image_free(&box);
  if (!good) image_free(prepared);
  return good;
}

static bool prepare_label(const Frame *frame, const LabelMap *source, LabelMap *prepared,
                          Error *error) {
  LabelMap box;
  Grid box_grid = grid_make(frame->box_dim, frame->box_mm), grid = grid_make(frame->dim, frame->mm);
  if (!label_alloc(&box, &box_grid, error)) return false;
  bool good = label_alloc(prepared, &grid, error);
  if (good) {
    frame_take(frame, source->data, 1, box.data);
    Interpolation order[3];
    resample_orders(frame->box_mm, frame->mm, LINEAR, order);
    resample_labels(box.data, frame->box_dim, frame->dim, order, prepared->data);
  }
  label_free(&box);
  return good;
}

bool prepare_volume(const Preprocessing *p, const Volume *source, Volume *prepared, Frame *frame,
                    Error *error) {
  *prepared = (Volume){.name = source->name};
  if (prepare_image(p, &source->image, &prepared->image, frame, error) &&
      prepare_label(frame, &source->label, &prepared->label, error))
    return true;
  volume_free(prepared, 1);
  return false;
}
