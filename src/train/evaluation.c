#include "src/train/evaluation.h"
#include "src/data/metrics/structures.h"
#include "src/store/event.h"

#include <math.h>
#include <string.h>

/* As the stored name nsd_1mm says. */
static const SurfaceOptions surface = {SURFACE_VOXELS, 1};

static void send_metrics(const Dataset *dataset, const Volume *volume, const Score *score,
                         FILE *events) {
  for (int label = 1; label < dataset->labels; label++)
    for (int m = 0; m < METRICS; m++) {
      if (!metric_table[m].stored) continue;
      Event event = {EVENT_metric, .metric = {.split = "val",
                                              .case_name = volume->name,
                                              .label = label,
                                              .name = dataset->label_name[label],
                                              .metric = metric_table[m].stored,
                                              .value = score[label].value[m],
                                              .situation = situation_name(score[label].situation)}};
      event_send(events, &event);
    }
}

static bool one_case(Plan *plan, const Model *model, const Cases *cases, int i,
                     const InferenceOptions *options, Score *score, PostprocessTally *tally,
                     Error *error) {
  Frame frame = cases_frame(cases, i);
  const Volume *volume = &cases->validation[i];
  size_t voxels = grid_voxels(&frame.file);
  uint8_t *label = malloc(voxels);
  Error inner = {""};
  bool good = label || fail(&inner, "no memory for %zu labels", voxels);
  good = good && inference_run(plan, model, &volume->image, &frame, options, label, NULL, &inner);
  const uint8_t *truth = cases_truth(cases, i);
  const Labelling *labelling = &cases->dataset.labelling;
  good = good && score_structures(labelling, truth, label, &frame.file, &surface, score, &inner) &&
         postprocess_look(tally, score, label, truth, &frame.file, labelling, &inner);
  free(label);
  return good || fail(error, "%s: %s", volume->name, inner.text);
}

bool evaluation_run(Plan *plan, const Model *model, const Cases *cases,
                    const InferenceOptions *options, FILE *events, Evaluated *evaluated,
                    Error *error) {
  const Dataset *dataset = &cases->dataset;
  PostprocessTally tally = {0};
  for (int i = 0; i < cases->validations; i++) {
    Score score[DATASET_LABELS_MAX];
    if (!one_case(plan, model, cases, i, options, score, &tally, error)) return false;
    send_metrics(dataset, &cases->validation[i], score, events);
    event_send(events,
               &(Event){EVENT_eval, .eval = {.cases_done = i + 1, .cases = cases->validations}});
  }
  evaluated->postprocess =
      postprocess_choose(&tally, dataset->labels, &evaluated->mean, &evaluated->postprocessed);
  return true;
}
