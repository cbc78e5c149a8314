#define _GNU_SOURCE
#include "src/train/prediction.h"
#include "base/clock.h"
#include "src/data/batches/augment.h"
#include "src/data/predict/new_images.h"
#include "src/data/predict/restore.h"
#include "src/data/predict/sliding_window.h"
#include "src/data/sets/dataset_geometry.h"
#include "src/data/volumes/volume_name.h"
#include "src/train/config.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- one image ------------------------------------------------------------------------------- */

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

static Postprocess keep_option(const json_t *config, const Labelling *labelling) {
  const char *word = json_string_value(json_object_get(config, "largest_component"));
  Postprocess keep = {.foreground = word && !strcmp(word, "foreground")};
  bool each = word && !strcmp(word, "each");
  for (int l = 1; each && labelling && l < labelling_structures(labelling); l++)
    keep.label[l] = true;
  return keep;
}

InferenceOptions inference_options(const json_t *config, const Labelling *labelling) {
  InferenceOptions options = {.step = config_number(config, "window_step"),
                              .keep = keep_option(config, labelling),
                              .labelling = labelling};
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

bool inference_check(const json_t *config, const Labelling *labelling, Error *error) {
  Postprocess keep = keep_option(config, labelling);
  return !labelling->regions || !keep.label[1] ||
         fail(error, "largest_component=each: the data set's structures are regions, and what is "
                     "taken from one is taken from others; foreground is possible");
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
  return good && postprocess_apply(&options->keep, label, frame->file.dim, error);
}

/* ---- new images ------------------------------------------------------------------------------ */

typedef struct Predicting {
  const PredictionOptions *options;
  TrainedNetwork network;
  Recipe recipe;
  int classes;
  Postprocess postprocess;
  InferenceOptions inference;
  NewImages images;
  char *folder; /* of the label maps */
} Predicting;

static bool folder_make(const char *path, Error *error) {
  return is_folder(path) || mkdir(path, 0777) == 0 ||
         fail(error, "%s: cannot make the folder: %s", path, strerror(errno));
}

/* Where the label maps go: OUT, or the folder that OUT, a file, lies in. */
static bool place(Predicting *p, Error *error) {
  const char *out = p->options->out, *name = volume_base(out);
  bool file = volume_stem(name) && !is_folder(out);
  if (file && p->images.cases > 1)
    return fail(error, "%s is one file, but %s holds %d images: give a folder", out, p->options->in,
                p->images.cases);
  if (!file)
    p->folder = strdup(out);
  else
    p->folder = name == out ? strdup(".") : strndup(out, (size_t)(name - out));
  if (!folder_make(p->folder, error) || !p->options->probabilities) return !error->text[0];
  char *deeper = NULL;
  if (asprintf(&deeper, "%s/probabilities", p->folder) < 0) abort();
  bool good = folder_make(deeper, error);
  free(deeper);
  return good;
}

/* "OUT/CASE.nii.gz", or as pictures' label maps end; to be freed. */
static char *path_for(const Predicting *p, const Case *item, bool maps) {
  char *path = NULL;
  const char *out = p->options->out, *deeper = maps ? "probabilities/" : "";
  const char *ending = maps ? ".nii.gz" : label_ending(item->image[0]);
  bool file = volume_stem(volume_base(out)) && !is_folder(out);
  int length = file && !maps ? asprintf(&path, "%s", out)
                             : asprintf(&path, "%s/%s%s%s", p->folder, deeper, item->name, ending);
  if (length < 0) abort();
  return path;
}

static bool write_maps(const Predicting *p, const Case *item, const LabelMap *label,
                       const Image *probability, Error *error) {
  char *path = path_for(p, item, false), *maps = path_for(p, item, true);
  bool good = (!probability->data || image_write(probability, VOXEL_F32, maps, error)) &&
              label_write(label, path, error);
  free(path);
  free(maps);
  return good;
}

static bool one_image(Predicting *p, const Case *item, Error *error) {
  Image source = {0}, prepared = {0}, probability = {0};
  LabelMap label = {0};
  Frame frame;
  bool wanted = p->options->probabilities;
  bool good = case_image(item, p->recipe.preprocessing.normaliser.channels, &source, error) &&
              recipe_prepare(&p->recipe, &source, &prepared, &frame, error);
  Grid grid = source.grid;
  if (good && !p->options->quiet && image_is_constant(&prepared))
    fprintf(stderr, "harness: %s: every voxel is the same: an empty label map\n", item->image[0]);
  image_free(&source);
  good = good && label_alloc(&label, &grid, error) &&
         (!wanted || image_alloc(&probability, &grid, p->classes, error)) &&
         inference_run(p->network.plan, &p->network.model, &prepared, &frame, &p->inference,
                       label.data, probability.data, error) &&
         postprocess_apply(&p->postprocess, label.data, grid.dim, error) &&
         write_maps(p, item, &label, &probability, error);
  image_free(&prepared);
  image_free(&probability);
  label_free(&label);
  return good;
}

static void each_image(Predicting *p, PredictionOutcome *outcome) {
  for (int i = 0; i < p->images.cases; i++) {
    const Case *item = &p->images.item[i];
    char *path = path_for(p, item, false);
    bool there = !p->options->overwrite && access(path, F_OK) == 0;
    Error error = {""};
    double start = seconds_now();
    bool good = there || one_image(p, item, &error);
    if (there)
      outcome->kept++;
    else if (good)
      outcome->written++;
    else
      outcome->failed++;
    if (!good)
      fprintf(stderr, "harness: %d of %d, %s: not predicted: %s\n", i + 1, p->images.cases,
              item->name, error.text);
    else if (!p->options->quiet)
      fprintf(stderr, "harness: %d of %d, %s: %s, %.1f s\n", i + 1, p->images.cases, path,
              there ? "there already (--overwrite predicts it again)" : "written",
              seconds_now() - start);
    free(path);
  }
}

/* Nobody expects pictures to lie in some way. */
static bool all_pictures(const NewImages *images) {
  for (int i = 0; i < images->cases; i++)
    if (!is_picture(images->item[i].image[0])) return false;
  return true;
}

static bool begin(Predicting *p, const json_t *config, Error *error) {
  json_t *labels = NULL;
  if (!trained_network_open_alone(&p->network, config, &p->recipe, &labels, error)) return false;
  json_decref(labels);
  p->classes = labelling_classes(&p->recipe.labelling);
  p->inference = inference_options(config, &p->recipe.labelling);
  return (!p->options->postprocess ||
          postprocess_read(&p->postprocess, config_text(config, "checkpoint"), error)) &&
         new_images_find(&p->images, p->options->in, p->recipe.preprocessing.normaliser.channels,
                         error) &&
         place(p, error);
}

bool prediction_run(const json_t *config, const PredictionOptions *options,
                    PredictionOutcome *outcome, Error *error) {
  Predicting p = {.options = options};
  *outcome = (PredictionOutcome){0};
  bool good = begin(&p, config, error);
  if (good) {
    char chosen[256];
    postprocess_text(&p.postprocess, chosen, sizeof chosen);
    if (!options->quiet && strcmp(chosen, "nothing"))
      fprintf(stderr, "harness: keeping the largest component of %s (--no-postprocess: all)\n",
              chosen);
    if (!options->quiet)
      geometry_tell(p.images.item, p.images.cases, p.recipe.planned ? "" : p.recipe.stored, stderr);
    const Preprocessing *prepared = &p.recipe.preprocessing;
    if (!options->quiet && p.recipe.planned && !all_pictures(&p.images) &&
        !strcmp(prepared->orientation, ORIENTATION_ANY))
      fputs("harness: the training images had no orientation in their headers: whatever these say, "
            "they are taken as they are stored\n",
            stderr);
    each_image(&p, outcome);
  }
  trained_network_free(&p.network);
  new_images_free(&p.images);
  free(p.folder);
  return good;
}
