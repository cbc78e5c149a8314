#include "src/train/postprocess.h"
#include "base/whole_file.h"
#include "src/data/metrics/score.h"
#include "src/data/predict/components.h"
#include "src/data/sets/json_text.h"

#include <jansson.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { AS_PREDICTED, OF_FOREGROUND, OF_LABEL = 2 }; /* a way is a sum of these */

/* label 0: all foreground. */
static bool keep_largest(uint8_t *map, const int dim[3], int label, Error *error) {
  bool labels[256];
  memset(labels, !label, sizeof labels);
  labels[0] = false;
  if (label) labels[label] = true;
  return components_keep_largest(map, dim, labels, NULL) ||
         fail(error, "no memory for the components of %dx%dx%d voxels", dim[0], dim[1], dim[2]);
}

static bool keep_each(uint8_t *map, const int dim[3], int labels, Error *error) {
  for (int l = 1; l < labels; l++)
    if (!keep_largest(map, dim, l, error)) return false;
  return true;
}

static void count(PostprocessTally *tally, int way, const Score *score, int labels) {
  for (int l = 1; l < labels; l++) {
    if (score[l].situation == SITUATION_ABSENT) continue;
    tally->sum[way][l] += score[l].value[METRIC_dice];
    tally->counted[way][l]++;
  }
}

bool postprocess_add(PostprocessTally *tally, const Score *score, const uint8_t *predicted,
                     const uint8_t *truth, const Grid *grid, const Labelling *labelling,
                     Error *error) {
  int labels = labelling_structures(labelling),
      ways = labelling->regions ? OF_LABEL : POSTPROCESS_WAYS;
  size_t voxels = grid_voxels(grid);
  uint8_t *map = malloc(voxels);
  bool good = map || fail(error, "no memory for the post-processing of %zu voxels", voxels);
  if (good) count(tally, AS_PREDICTED, score, labels);
  for (int way = AS_PREDICTED + 1; good && way < ways; way++) {
    Score kept[DATASET_LABELS_MAX];
    memcpy(map, predicted, voxels);
    good = (!(way & OF_FOREGROUND) || keep_largest(map, grid->dim, 0, error)) &&
           (!(way & OF_LABEL) || keep_each(map, grid->dim, labels, error)) &&
           score_structures(labelling, truth, map, grid, NULL, kept, error);
    if (good) count(tally, way, kept, labels);
  }
  free(map);
  return good;
}

static double label_mean(const PostprocessTally *tally, int way, int label) {
  int counted = tally->counted[way][label];
  return counted ? tally->sum[way][label] / counted : NAN;
}

/* The mean over the labels, each post-processed as was chosen. */
static double mean_of(const PostprocessTally *tally, const Postprocess *chosen, int labels) {
  double sum = 0;
  int known = 0;
  for (int l = 1; l < labels; l++) {
    int way = (chosen->foreground ? OF_FOREGROUND : 0) + (chosen->label[l] ? OF_LABEL : 0);
    if (!tally->counted[way][l]) continue;
    sum += label_mean(tally, way, l);
    known++;
  }
  return known ? sum / known : NAN;
}

Postprocess postprocess_choose(const PostprocessTally *tally, int labels, double *before,
                               double *after) {
  Postprocess none = {0}, chosen = {.foreground = true};
  *before = mean_of(tally, &none, labels);
  chosen.foreground = mean_of(tally, &chosen, labels) > *before;
  for (int l = 1; l < labels; l++)
    if (label_mean(tally, OF_FOREGROUND, l) < label_mean(tally, AS_PREDICTED, l))
      chosen.foreground = false;
  int way = chosen.foreground ? OF_FOREGROUND : AS_PREDICTED;
  for (int l = 1; l < labels; l++)
    chosen.label[l] = label_mean(tally, way + OF_LABEL, l) > label_mean(tally, way, l);
  *after = mean_of(tally, &chosen, labels);
  return chosen;
}

bool postprocess_apply(const Postprocess *chosen, uint8_t *map, const int dim[3], Error *error) {
  if (chosen->foreground && !keep_largest(map, dim, 0, error)) return false;
  for (int l = 1; l < DATASET_LABELS_MAX; l++)
    if (chosen->label[l] && !keep_largest(map, dim, l, error)) return false;
  return true;
}

/* ---- the file -------------------------------------------------------------------------------- */

static void path_of(const char *checkpoint, char path[4600]) {
  snprintf(path, 4600, "%.4500s.postprocess.json", checkpoint);
}

bool postprocess_write(const Postprocess *chosen, double before, double after,
                       const char *checkpoint, Error *error) {
  char path[4600];
  path_of(checkpoint, path);
  json_t *labels = json_array();
  for (int l = 1; l < DATASET_LABELS_MAX; l++)
    if (chosen->label[l]) json_array_append_new(labels, json_integer(l));
  json_t *json = json_pack("{s:i, s:b, s:o, s:o, s:o}", "schema", 1, "foreground",
                           chosen->foreground, "labels", labels, "validation_dice_before",
                           isnan(before) ? json_null() : json_real(before), "validation_dice_after",
                           isnan(after) ? json_null() : json_real(after));
  char *text = json_dumps(json, JSON_INDENT(1));
  json_decref(json);
  CHECK(text, "no memory to write what post-processing does");
  bool good = whole_text(path, text, error);
  free(text);
  return good;
}

bool postprocess_read(Postprocess *chosen, const char *checkpoint, Error *error) {
  char path[4600];
  *chosen = (Postprocess){0};
  path_of(checkpoint, path);
  if (access(path, F_OK) != 0) return true;
  json_t *json = json_file_load(path, 0, error), *label;
  const json_t *labels = json_object_get(json, "labels"),
               *foreground = json_object_get(json, "foreground");
  bool good = json_is_boolean(foreground) && json_is_array(labels);
  chosen->foreground = json_is_true(foreground);
  size_t i;
  json_array_foreach((json_t *)labels, i, label) {
    json_int_t value = json_integer_value(label);
    good = good && value > 0 && value < DATASET_LABELS_MAX;
    if (good) chosen->label[value] = true;
  }
  json_decref(json);
  return good ||
         fail(error, "%s: no post-processing in it; expected {\"foreground\", \"labels\"}", path);
}

void postprocess_text(const Postprocess *chosen, char *text, size_t bytes) {
  size_t used = (size_t)snprintf(text, bytes, "%s", chosen->foreground ? "all foreground" : "");
  for (int l = 1; l < DATASET_LABELS_MAX; l++)
    if (chosen->label[l] && used + 16 < bytes)
      used += (size_t)snprintf(text + used, bytes - used, "%s%d", used ? ", " : "label ", l);
  if (!used) snprintf(text, bytes, "nothing");
}
