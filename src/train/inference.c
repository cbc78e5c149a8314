#include "src/train/inference.h"
#include "src/data/batches/augment.h"
#include "src/data/predict/restore.h"
#include "src/data/predict/sliding_window.h"
#include "src/train/config.h"

#include <string.h>

typedef struct Predictor {
  Plan *plan;
  const Model *model;
} Predictor;

static bool predict(void *user, int count, const float *patches, float *maps, Error *error) {
  (void)count; /* the graph's batch is fixed: windows beyond count are zero */
  (void)error;
  const Predictor *p = user;
  memcpy(p->model->image->host, patches, tensor_bytes(&p->model->image->tensor));
  plan_send(p->plan, p->model->image);
  plan_run(p->plan, false);
  if (!maps) return true; /* the device merges them where they lie */
  memcpy(maps, plan_fetch(p->plan, p->model->map), tensor_bytes(&p->model->map->tensor));
  return true;
}

InferenceOptions inference_options(const json_t *config, const Labelling *labelling) {
  InferenceOptions options = {.step = config_number(config, "window_step"), .labelling = labelling};
  const char *merge = json_string_value(json_object_get(config, "merge"));
  options.logits = merge && !strcmp(merge, "logits");
  Augment augment;
  Error error = {""};
  if (json_is_true(json_object_get(config, "mirror_tta")) &&
      augment_parse(config_text(config, "augment"), config_text(config, "mirror"), &augment,
                    &error))
    memcpy(options.mirror, augment.mirror, sizeof options.mirror);
  return options;
}

bool inference_run(Plan *plan, const Model *model, const Image *prepared, const Frame *frame,
                   const InferenceOptions *options, uint8_t *label, float *probability,
                   Error *error) {
  Predictor predictor = {plan, model};
  const int64_t *dim = model->map->tensor.dim;
  WindowOptions window = {.patch = {(int)dim[1], (int)dim[2], (int)dim[3]},
                          .step = options->step,
                          .batch = (int)dim[0],
                          .classes = (int)dim[4]};
  memcpy(window.mirror, options->mirror, sizeof window.mirror);
  Restore restore;
  bool good = restore_begin(&restore, frame, window.classes, label, probability, error);
  if (options->logits) restore_logits(&restore);
  if (good && options->labelling && options->labelling->regions)
    restore_regions(&restore, options->labelling->order);
  if (good && image_is_constant(prepared)) { /* all is background by now */
    restore_end(&restore);
    return true;
  }
  if (good && plan->backend->device) {
    window.backend = plan->backend;
    window.predicted = model->map->tensor.data;
    good = restore_on_device(&restore, plan->backend, window.patch[0] + 1, error);
  }
  good = good && sliding_window_slabs(prepared, &window, predict, &predictor, restore_slab,
                                      &restore, error);
  restore_end(&restore);
  return good;
}
