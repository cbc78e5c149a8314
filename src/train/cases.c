#include "src/train/cases.h"
#include "src/data/normalise.h"
#include "src/train/config.h"

static bool load(const Dataset *dataset, const int *index, int count, Volume **volumes, int *loaded,
                 Error *error) {
  *volumes = calloc((size_t)count, sizeof **volumes);
  if (!*volumes) return fail(error, "no memory for %d cases", count);
  if (!dataset_load(dataset, index, count, *volumes, error)) return false;
  *loaded = count;
  return true;
}

bool cases_load(Cases *c, const json_t *config, Error *error) {
  const char *dir = config_text(config, "data_dir");
  int fold = (int)config_int(config, "fold");
  *c = (Cases){0};
  if (!dataset_open(&c->dataset, dir, error) || !split_make(&c->split, &c->dataset, fold, error) ||
      !load(&c->dataset, c->split.training, c->split.trainings, &c->training, &c->trainings,
            error) ||
      !load(&c->dataset, c->split.validation, c->split.validations, &c->validation, &c->validations,
            error))
    return false;
  Normaliser *normaliser = &c->recipe.preprocessing.normaliser;
  if (!normaliser_fit(normaliser, &c->dataset, c->training, c->trainings, error)) return false;
  for (int i = 0; i < c->trainings; i++) normaliser_apply(normaliser, &c->training[i].image);
  for (int i = 0; i < c->validations; i++) normaliser_apply(normaliser, &c->validation[i].image);
  return true;
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
  volume_free(c->training, c->trainings);
  volume_free(c->validation, c->validations);
  free(c->training);
  free(c->validation);
  split_free(&c->split);
  dataset_free(&c->dataset);
  *c = (Cases){0};
}
