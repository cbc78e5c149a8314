#include "src/train/cases.h"
#include "src/data/prepare/preprocess_folder.h"
#include "src/data/sets/dataset_geometry.h"
#include "src/data/sets/derived.h"
#include "src/train/config.h"

#include <string.h>

/* ---- files as they are -----------------------------------------------------------------------*/

static bool all_normalise(const Normaliser *normaliser, Volume *volume, int count, Error *error) {
  for (int i = 0; i < count; i++) {
    Error inner = {""};
    if (!normaliser_apply(normaliser, NULL, &volume[i].image, &inner))
      return fail(error, "case %s: %s", volume[i].name, inner.text);
  }
  return true;
}

static bool read_files(Cases *c, Error *error) {
  const Split *split = &c->split;
  if (!dataset_load(&c->dataset, split->training, split->trainings, c->training, error))
    return false;
  c->trainings = split->trainings;
  if (!dataset_load(&c->dataset, split->validation, split->validations, c->validation, error))
    return false;
  c->validations = split->validations;
  Normaliser *normaliser = &c->recipe.preprocessing.normaliser;
  if (!normaliser_fit(normaliser, &c->dataset, c->training, c->trainings, error)) return false;
  return all_normalise(normaliser, c->training, c->trainings, error) &&
         all_normalise(normaliser, c->validation, c->validations, error);
}

/* ---- prepared volumes ------------------------------------------------------------------------*/

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

/* ---- either ----------------------------------------------------------------------------------*/

static bool room(int count, Volume **volumes, Error *error) {
  *volumes = calloc((size_t)count, sizeof **volumes);
  return *volumes || fail(error, "no memory for %d cases", count);
}

/* Files that are trained on as they are: how most of them lie. */
static void stored_find(Cases *c) {
  DatasetGeometry geometry;
  Error mixed = {""}; /* said before the trial started */
  if (dataset_geometry(&c->dataset, &geometry, &mixed) &&
      strcmp(geometry.orientation, ORIENTATION_ANY))
    strcpy(c->recipe.stored, geometry.orientation);
}

bool cases_load(Cases *c, const json_t *config, Error *error) {
  const char *dir = config_text(config, "data_dir");
  const json_t *preprocessing = json_object_get(config, "preprocessing");
  const char *home = json_string_value(json_object_get(config, "home"));
  *c = (Cases){.recipe.planned = preprocessing != NULL};
  if (!dataset_open(&c->dataset, dir, error) ||
      !split_make(&c->split, &c->dataset, json_string_value(json_object_get(config, "split")),
                  (int)config_int(config, "fold"), error) ||
      !room(c->split.validations, &c->validation, error))
    return false;
  c->dataset.derived = derived_find(dir, home ? home : ".");
  if (!preprocessing) stored_find(c);
  if (!preprocessing) return room(c->split.trainings, &c->training, error) && read_files(c, error);
  return preprocessing_read(&c->recipe.preprocessing, preprocessing, "configuration", error) &&
         read_cache(c, error);
}

Frame cases_frame(const Cases *c, int i) {
  return c->frame ? c->frame[i] : frame_identity(&c->validation[i].image.grid);
}

const uint8_t *cases_truth(const Cases *c, int i) {
  return c->truth ? c->truth[i].data : c->validation[i].label.data;
}

void cases_free(Cases *c) {
  for (int i = 0; c->truth && i < c->validations; i++) label_free(&c->truth[i]);
  free(c->truth);
  free(c->frame);
  for (int i = 0; c->mapped && i < c->trainings; i++) cached_close(&c->mapped[i]);
  free(c->mapped);
  if (c->training) volume_free(c->training, c->trainings);
  volume_free(c->validation, c->validations);
  free(c->training);
  free(c->validation);
  split_free(&c->split);
  dataset_free(&c->dataset);
  *c = (Cases){0};
}
