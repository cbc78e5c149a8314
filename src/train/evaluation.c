#include "src/train/evaluation.h"

#include <stdlib.h>

#include "src/data/metrics/instances.h"
#include "src/data/metrics/score.h"
#include "src/store/event.h"

/* As the stored name nsd_1mm says. */
static const SurfaceOptions surface = {SURFACE_VOXELS, 1};

static void send_metrics(const Dataset *dataset, const Volume *volume, const Score *score,
                         FILE *events) {
  bool picture = volume->image.grid.remarks & GRID_PICTURE;
  for (int label = 1; label < dataset->labels; label++)
    for (int m = 0; m < METRICS; m++) {
      if (!metric_table[m].stored || !metric_is_of(m, picture)) continue;
      Situation situation = metric_situation(m, score[label].situation);
      Event event = {EVENT_metric, .metric = {.split = "val",
                                              .case_name = volume->name,
                                              .label = label,
                                              .name = dataset->label_name[label],
                                              .metric = metric_table[m].stored,
                                              .value = score[label].value[m],
                                              .situation = situation_name(situation)}};
      event_send(events, &event);
    }
}

/* Objects of a picture. */
static bool score_objects(const Cases *cases, int i, const Grid *grid, const uint8_t *label,
                          Score *score, Error *error) {
  Image numbers;
  if (!(grid->remarks & GRID_PICTURE)) return true;
  bool good = cases_instances(cases, i, &numbers, error) &&
              score_instances(&cases->dataset.labelling, cases_truth(cases, i), numbers.data, label,
                              grid->dim, score, error);
  image_free(&numbers);
  return good;
}

static bool one_case(Plan *plan, const EvaluationOf *of, int i, const InferenceOptions *options,
                     Score *score, PostprocessTally *tally, Error *error) {
  const Cases *cases = of->cases;
  Frame frame = cases_frame(cases, i);
  const Volume *volume = &cases->validation[i];
  size_t voxels = grid_voxels(&frame.file);
  uint8_t *label = malloc(voxels);
  Error inner = {""};
  bool good = label || fail(&inner, "no memory for %zu labels", voxels);
  good =
      good && inference_run(plan, of->model, &volume->image, &frame, options, label, NULL, &inner);
  const uint8_t *truth = cases_truth(cases, i);
  const Labelling *labelling = &cases->dataset.labelling;
  good = good && score_structures(labelling, truth, label, &frame.file, &surface, score, &inner) &&
         score_objects(cases, i, &frame.file, label, score, &inner) &&
         postprocess_add(tally, score, label, truth, &frame.file, labelling, &inner);
  free(label);
  return good || fail(error, "%s: %s", volume->name, inner.text);
}

bool evaluation_run(Plan *plan, const EvaluationOf *of, const InferenceOptions *options,
                    FILE *events, Evaluated *evaluated, Error *error) {
  const Cases *cases = of->cases;
  const Dataset *dataset = &cases->dataset;
  PostprocessTally tally = {0};
  for (int i = 0; i < cases->validations; i++) {
    if (of->stop && of->stop()) return fail(error, "stopped before case %d was scored", i + 1);
    Score score[DATASET_LABELS_MAX];
    if (!one_case(plan, of, i, options, score, &tally, error)) return false;
    send_metrics(dataset, &cases->validation[i], score, events);
    event_send(events,
               &(Event){EVENT_eval, .eval = {.cases_done = i + 1, .cases = cases->validations}});
  }
  evaluated->postprocess =
      postprocess_choose(&tally, dataset->labels, &evaluated->mean, &evaluated->postprocessed);
  return true;
}
