#include "src/train/cases.h"
#include "src/data/metrics/instances.h"
#include "src/data/prepare/preprocess_folder.h"
#include "src/data/sets/dataset_geometry.h"
#include "src/data/sets/derived.h"
#include "src/train/config.h"

#include <math.h>
#include <string.h>

/* ---- the recipe ------------------------------------------------------------------------------ */

static const char YCRCB[] = "ycrcb";
enum { HELD_EVERY = 5 };

/* From a configuration or a recipe: both have them by these names, the size apart. */
static bool fit_read(Recipe *recipe, const json_t *json, const json_t *size, Error *error) {
  const char *colour = json_string_value(json_object_get(json, "colour"));
  recipe->ycrcb = colour && !strcmp(colour, YCRCB);
  for (size_t i = 0; i < 3; i++)
    recipe->fit_size[i] = (int)json_integer_value(json_array_get(size, i));
  return fit_parse(json_string_value(json_object_get(json, "fit")), &recipe->fit, error);
}

static json_t *channel_json(const Normaliser *normaliser, int i, const char *name) {
  const typeof(normaliser->channel[0]) *c = &normaliser->channel[i];
  json_t *channel = json_pack("{s:s, s:s}", "name", name, "scheme", scheme_names[c->scheme]);
  if (c->scheme != SCHEME_CT) return channel;
  json_t *range = json_pack("{s:f, s:f, s:f, s:f}", "low", c->low, "high", c->high, "mean", c->mean,
                            "sd", c->sd);
  json_object_update(channel, range);
  json_decref(range);
  return channel;
}

char *recipe_text(const Recipe *recipe, const Dataset *dataset) {
  const Preprocessing *p = &recipe->preprocessing;
  json_t *channels = json_array(), *labels = json_array();
  for (int i = 0; i < dataset->channels; i++)
    json_array_append_new(channels, channel_json(&p->normaliser, i, dataset->channel_name[i]));
  for (int i = 0; i < dataset->labels; i++)
    json_array_append_new(labels, json_string(dataset->label_name[i]));
  bool planned = recipe->planned;
  json_t *json =
      json_pack("{s:b, s:{s:s, s:[f, f, f], s:b, s:o}, s:o}", "planned", planned, "preprocessing",
                "orientation", planned ? p->orientation : "RAS", "spacing_mm",
                planned ? p->mm[0] : 1, planned ? p->mm[1] : 1, planned ? p->mm[2] : 1,
                "nonzero_mask", p->normaliser.masked, "channels", channels, "labels", labels);
  if (json && !labelling_is_plain(&dataset->labelling))
    json_object_set_new(json, "labelling", labelling_json(&dataset->labelling));
  if (json && recipe->stored[0]) json_object_set_new(json, "stored", json_string(recipe->stored));
  const int *size = recipe->fit_size;
  if (json && recipe->fit)
    json_object_set_new(json, "fit_size", json_pack("[i, i, i]", size[0], size[1], size[2]));
  if (json && recipe->fit) json_object_set_new(json, "fit", json_string(fit_names[recipe->fit]));
  if (json && recipe->ycrcb) json_object_set_new(json, "colour", json_string(YCRCB));
  char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
  CHECK(text, "the recipe of a network cannot be written as JSON");
  json_decref(json);
  return text;
}

bool recipe_read(Recipe *recipe, json_t **labels, const char *text, const char *where,
                 Error *error) {
  *recipe = (Recipe){0};
  json_t *json = json_loads(text, 0, NULL);
  *labels = json_incref(json_object_get(json, "labels"));
  recipe->planned = json_is_true(json_object_get(json, "planned"));
  const char *stored = json_string_value(json_object_get(json, "stored"));
  snprintf(recipe->stored, sizeof recipe->stored, "%s", stored ? stored : "");
  bool good =
      json_array_size(*labels) > 1 || fail(error, "%s: its recipe names no labels: damaged", where);
  good = good && (labelling_read(&recipe->labelling, json_object_get(json, "labelling"),
                                 (int)json_array_size(*labels)) ||
                  fail(error, "%s: its recipe's labelling is damaged", where));
  good = good && fit_read(recipe, json, json_object_get(json, "fit_size"), error) &&
         preprocessing_read(&recipe->preprocessing, json_object_get(json, "preprocessing"), where,
                            error);
  if (!good) json_decref(*labels);
  json_decref(json);
  return good;
}

/* The cache that planned trials learn from holds half precision: the same voxels for new images. */
static void round_to_half(Image *image) {
  size_t count = grid_voxels(&image->grid) * (size_t)image->channels;
  for (size_t i = 0; i < count; i++)
    image->data[i] = (float)(_Float16)fminf(fmaxf(image->data[i], -65504), 65504);
}

/* Colours and size of a picture that is not planned; frame: how it lies in its file by now. */
static bool picture_prepare(const Recipe *recipe, Image *image, Frame *frame, Error *error) {
  *frame = frame_identity(&image->grid);
  if (recipe->ycrcb && !colours_ycrcb(image, error)) return false;
  if (!recipe->fit) return true;
  Image fitted;
  if (!fit_frame(recipe->fit, &image->grid, recipe->fit_size, frame, error) ||
      !fit_image(frame, image, &fitted, error))
    return false;
  image_free(image);
  *image = fitted;
  return true;
}

bool recipe_prepare(const Recipe *recipe, const Image *source, Image *prepared, Frame *frame,
                    Error *error) {
  const Preprocessing *p = &recipe->preprocessing;
  if (recipe->planned) {
    if (!prepare_image(p, source, prepared, frame, error)) return false;
    round_to_half(prepared);
    return true;
  }
  if (source->channels != p->normaliser.channels)
    return fail(error, "%d channel(s), but the trial was trained on %d", source->channels,
                p->normaliser.channels);
  if (!image_alloc(prepared, &source->grid, source->channels, error)) return false;
  memcpy(prepared->data, source->data,
         grid_voxels(&source->grid) * (size_t)source->channels * sizeof(float));
  if (picture_prepare(recipe, prepared, frame, error) &&
      normaliser_apply(&p->normaliser, NULL, prepared, error))
    return true;
  image_free(prepared);
  return false;
}

/* ---- files as they are ----------------------------------------------------------------------- */

static bool all_normalise(const Normaliser *normaliser, Volume *volume, int count, Error *error) {
  for (int i = 0; i < count; i++) {
    Error inner = {""};
    if (!normaliser_apply(normaliser, NULL, &volume[i].image, &inner))
      return fail(error, "case %s: %s", volume[i].name, inner.text);
  }
  return true;
}

/* A case whose picture is to be fitted, or in other colours. frame and truth NULL: it trains. */
static bool read_picture(const Cases *c, int index, Volume *volume, Frame *frame, LabelMap *truth,
                         Error *error) {
  Frame lies;
  LabelMap fitted = {0};
  Error inner = {""};
  if (!dataset_read(&c->dataset, index, volume, error)) return false;
  bool good = picture_prepare(&c->recipe, &volume->image, &lies, &inner) &&
              (!c->recipe.fit || fit_label(&lies, &volume->label, &fitted, &inner));
  if (!good) {
    fail(error, "case %s: %s", volume->name, inner.text);
    volume_free(volume, 1);
    return false;
  }
  if (frame) *frame = lies;
  if (!c->recipe.fit) return true;
  LabelMap file = volume->label;
  volume->label = fitted;
  if (truth)
    *truth = file;
  else
    label_free(&file);
  return true;
}

static bool read_pictures(Cases *c, Error *error) {
  const Split *split = &c->split;
  size_t validations = (size_t)split->validations;
  for (; c->trainings < split->trainings; c->trainings++)
    if (!read_picture(c, split->training[c->trainings], &c->training[c->trainings], NULL, NULL,
                      error))
      return false;
  if (c->recipe.fit && !c->as_fitted) {
    c->frame = calloc(validations, sizeof *c->frame);
    c->truth = calloc(validations, sizeof *c->truth);
    if (!c->frame || !c->truth) return fail(error, "no memory for %zu cases", validations);
  }
  for (int i = 0; i < split->validations; i++, c->validations++)
    if (!read_picture(c, split->validation[i], &c->validation[i], c->frame ? &c->frame[i] : NULL,
                      c->truth ? &c->truth[i] : NULL, error))
      return false;
  return true;
}

static bool read_as_stored(Cases *c, Error *error) {
  const Split *split = &c->split;
  if (!dataset_load(&c->dataset, split->training, split->trainings, c->training, error))
    return false;
  c->trainings = split->trainings;
  if (!dataset_load(&c->dataset, split->validation, split->validations, c->validation, error))
    return false;
  c->validations = split->validations;
  return true;
}

/* As option normalise says; NULL: by the channels' names. */
static bool normaliser_choose(Normaliser *normaliser, const char *how, Error *error) {
  Scheme scheme;
  if (!how || !strcmp(how, "channel")) return true;
  if (!scheme_parse(how, &scheme) || scheme < SCHEME_UNIT)
    return fail(error, "normalise = \"%s\": expected channel, %s or %s", how,
                scheme_names[SCHEME_UNIT], scheme_names[SCHEME_SYMMETRIC]);
  normaliser_join(normaliser, scheme);
  return true;
}

static bool read_files(Cases *c, int held, const json_t *config, Error *error) {
  bool pictures = c->recipe.fit || c->recipe.ycrcb;
  if (!(pictures ? read_pictures(c, error) : read_as_stored(c, error))) return false;
  Normaliser *normaliser = &c->recipe.preprocessing.normaliser;
  const char *how = json_string_value(json_object_get(config, "normalise"));
  return normaliser_fit(normaliser, &c->dataset, c->training, c->trainings - held, error) &&
         normaliser_choose(normaliser, how, error) &&
         all_normalise(normaliser, c->training, c->trainings, error) &&
         all_normalise(normaliser, c->validation, c->validations, error);
}

/* ---- prepared volumes ------------------------------------------------------------------------ */

static bool map_cached(const Cases *c, int index, Cached *cached, Error *error) {
  const Case *item = &c->dataset.item[index];
  CacheKey key;
  if (!cache_key(item, preprocessing_key(&c->recipe.preprocessing, &c->dataset), &key, error))
    return false;
  char *path = preprocess_path(&c->dataset, index);
  Error inner = {""};
  bool good = cached_open(cached, path, &key, true, &inner);
  if (!good) fail(error, "%s; `harness data preprocess %s` makes it", inner.text, c->dataset.dir);
  free(path);
  return good;
}

static bool read_cached(const Cases *c, int index, Volume *volume, Frame *frame, Error *error) {
  Cached cached;
  if (!map_cached(c, index, &cached, error)) return false;
  bool good = cached_volume(&cached, c->dataset.item[index].name, volume, error);
  *frame = cached.frame;
  cached_close(&cached);
  return good;
}

static bool read_cache(Cases *c, Error *error) {
  const Split *split = &c->split;
  size_t validations = (size_t)split->validations;
  c->mapped = calloc((size_t)split->trainings, sizeof *c->mapped);
  c->frame = calloc(validations, sizeof *c->frame);
  c->truth = calloc(validations, sizeof *c->truth);
  if (!c->mapped || !c->frame || !c->truth)
    return fail(error, "no memory for %d cases", split->trainings + split->validations);
  for (; c->trainings < split->trainings; c->trainings++)
    if (!map_cached(c, split->training[c->trainings], &c->mapped[c->trainings], error))
      return false;
  for (int i = 0; i < split->validations; i++) {
    int index = split->validation[i];
    if (!read_cached(c, index, &c->validation[i], &c->frame[i], error)) return false;
    c->validations++;
    if (!dataset_label(&c->dataset, index, &c->truth[i], error)) return false;
  }
  return true;
}

/* ---- either ---------------------------------------------------------------------------------- */

static bool volumes_alloc(int count, Volume **volumes, Error *error) {
  *volumes = calloc((size_t)count, sizeof **volumes);
  return *volumes || fail(error, "no memory for %d cases", count);
}

/* Files that are trained on as they are: how most of them lie. */
static void stored_find(Cases *c) {
  DatasetGeometry geometry;
  Error mixed = {""}; /* not told again: it was before the trial started */
  if (dataset_geometry(&c->dataset, &geometry, &mixed) &&
      strcmp(geometry.orientation, ORIENTATION_ANY))
    strcpy(c->recipe.stored, geometry.orientation);
}

bool cases_split(Split *split, const Dataset *dataset, const json_t *config, Error *error) {
  const json_t *inner = json_object_get(config, "inner_split");
  if (!split_make(split, dataset, json_string_value(json_object_get(config, "split")),
                  (int)config_int(config, "fold"), error))
    return false;
  if (!inner || split_inner(split, dataset, (int)json_integer_value(inner), error)) return true;
  split_free(split);
  return false;
}

/* Of the training cases those that choose weights come last; how many, -1 after an error. */
static int hold_out(Split *split, const Dataset *dataset, const json_t *config, Error *error) {
  const char *select = json_string_value(json_object_get(config, "select"));
  if (!select || strcmp(select, "best_validation")) return 0;
  Split inner = {.trainings = split->trainings,
                 .training = calloc((size_t)split->trainings, sizeof(int))};
  CHECK(inner.training, "out of memory for %d cases", split->trainings);
  memcpy(inner.training, split->training, (size_t)split->trainings * sizeof(int));
  int held = -1;
  if (split_inner(&inner, dataset, HELD_EVERY, error)) {
    held = inner.validations;
    memcpy(split->training, inner.training, (size_t)inner.trainings * sizeof(int));
    memcpy(split->training + inner.trainings, inner.validation, (size_t)held * sizeof(int));
  }
  split_free(&inner);
  return held;
}

/* What was loaded to train on and to choose by. */
static void set_apart(Cases *c, int held) {
  c->held = held;
  c->trainings -= held;
}

bool cases_load(Cases *c, const json_t *config, Error *error) {
  const char *dir = config_text(config, "data_dir");
  const json_t *preprocessing = json_object_get(config, "preprocessing");
  const char *home = json_string_value(json_object_get(config, "home"));
  const char *pad = json_string_value(json_object_get(config, "score_pad"));
  *c = (Cases){.recipe.planned = preprocessing != NULL, .as_fitted = pad && !strcmp(pad, "yes")};
  if (!dataset_open(&c->dataset, dir, error) ||
      !cases_split(&c->split, &c->dataset, config, error) ||
      !volumes_alloc(c->split.validations, &c->validation, error))
    return false;
  c->dataset.derived = derived_find(dir, home ? home : ".");
  int held = hold_out(&c->split, &c->dataset, config, error);
  if (held < 0) return false;
  if (!preprocessing) stored_find(c);
  bool good;
  if (!preprocessing)
    good = fit_read(&c->recipe, config, json_object_get(config, "patch"), error) &&
           volumes_alloc(c->split.trainings, &c->training, error) &&
           read_files(c, held, config, error);
  else
    good = preprocessing_read(&c->recipe.preprocessing, preprocessing, "configuration", error) &&
           read_cache(c, error);
  if (good) set_apart(c, held);
  return good;
}

Frame cases_frame(const Cases *c, int i) {
  return c->frame ? c->frame[i] : frame_identity(&c->validation[i].image.grid);
}

const uint8_t *cases_truth(const Cases *c, int i) {
  return c->truth ? c->truth[i].data : c->validation[i].label.data;
}

bool cases_instances(const Cases *c, int i, Image *numbers, Error *error) {
  const char *name = c->validation[i].name;
  Frame frame = cases_frame(c, i);
  if (!c->as_fitted) return instances_read(numbers, c->dataset.dir, name, &frame.file, error);
  Grid file;
  Image read;
  int channels;
  *numbers = (Image){0};
  const Case *item = &c->dataset.item[c->split.validation[i]];
  if (!volume_inspect(item->image[0], &file, &channels, error) ||
      !fit_frame(c->recipe.fit, &file, c->recipe.fit_size, &frame, error) ||
      !instances_read(&read, c->dataset.dir, name, &file, error))
    return false;
  bool good = !read.data || image_alloc(numbers, &c->validation[i].image.grid, 1, error);
  if (good && read.data) fit_nearest(&frame, read.data, sizeof(float), numbers->data);
  image_free(&read);
  return good;
}

void cases_free(Cases *c) {
  for (int i = 0; c->truth && i < c->validations; i++) label_free(&c->truth[i]);
  free(c->truth);
  free(c->frame);
  for (int i = 0; c->mapped && i < c->trainings + c->held; i++) cached_close(&c->mapped[i]);
  free(c->mapped);
  if (c->training) volume_free(c->training, c->trainings + c->held);
  volume_free(c->validation, c->validations);
  free(c->training);
  free(c->validation);
  split_free(&c->split);
  dataset_free(&c->dataset);
  *c = (Cases){0};
}
