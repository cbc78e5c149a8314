#include "src/train/evaluation.h"
#include "src/data/metric.h"
#include "src/train/events.h"

#include <math.h>
#include <string.h>

static void send_metrics(const Dataset *dataset, const Volume *volume, const Dice *dice,
                         FILE *events) {
  for (int label = 1; label < dataset->labels; label++) {
    const Dice *d = &dice[label];
    event_send(events, json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:o, s:s}", "event", "metric",
                                 "split", "val", "case", volume->name, "label", label, "name",
                                 dataset->label_name[label], "metric", "dice", "value",
                                 isnan(d->value) ? json_null() : json_real(d->value), "situation",
                                 dice_status_name(d->status)));
  }
}

static bool one_case(Plan *plan, const Model *model, const Cases *cases, int i,
                     const InferenceOptions *options, Dice *dice, PostprocessTally *tally,
                     Error *error) {
  Frame frame = cases_frame(cases, i);
  const Volume *volume = &cases->validation[i];
  size_t voxels = grid_voxels(&frame.file);
  uint8_t *label = malloc(voxels);
  Error inner = {""};
  bool good = label || fail(&inner, "no memory for %zu labels", voxels);
  good = good && inference_run(plan, model, &volume->image, &frame, options, label, NULL, &inner);
  const uint8_t *truth = cases_truth(cases, i);
  int labels = cases->dataset.labels;
  if (good) dice_count(label, truth, voxels, labels, dice);
  good = good && postprocess_look(tally, label, truth, frame.file.dim, labels, &inner);
  free(label);
  return good || fail(error, "%s: %s", volume->name, inner.text);
}

bool evaluation_run(Plan *plan, const Model *model, const Cases *cases,
                    const InferenceOptions *options, FILE *events, Evaluated *evaluated,
                    Error *error) {
  const Dataset *dataset = &cases->dataset;
  PostprocessTally tally = {0};
  for (int i = 0; i < cases->validations; i++) {
    Dice dice[DATASET_LABELS_MAX];
    if (!one_case(plan, model, cases, i, options, dice, &tally, error)) return false;
    send_metrics(dataset, &cases->validation[i], dice, events);
    event_send(events, json_pack("{s:s, s:i, s:i}", "event", "eval", "case", i + 1, "cases",
                                 cases->validations));
  }
  evaluated->postprocess =
      postprocess_choose(&tally, dataset->labels, &evaluated->mean, &evaluated->postprocessed);
  return true;
}
