#define _GNU_SOURCE
#include "src/train/prediction.h"
#include "base/clock.h"
#include "src/data/nifti/nifti_name.h"
#include "src/data/predict/new_images.h"
#include "src/data/sets/dataset_geometry.h"
#include "src/train/config.h"
#include "src/train/inference.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Predicting {
  const PredictionOptions *options;
  Trained trained;
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
  const char *out = p->options->out, *name = nifti_base(out);
  bool file = nifti_stem(name) && !is_folder(out);
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

/* "OUT/CASE.nii.gz", to be freed. */
static char *path_for(const Predicting *p, const char *name, const char *deeper) {
  char *path = NULL;
  const char *out = p->options->out;
  bool file = nifti_stem(nifti_base(out)) && !is_folder(out);
  int length = file && !deeper[0] ? asprintf(&path, "%s", out)
                                  : asprintf(&path, "%s/%s%s.nii.gz", p->folder, deeper, name);
  if (length < 0) abort();
  return path;
}

static bool write_maps(const Predicting *p, const Case *item, const LabelMap *label,
                       const Image *probability, Error *error) {
  char *path = path_for(p, item->name, ""), *maps = path_for(p, item->name, "probabilities/");
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
         inference_run(p->trained.plan, &p->trained.model, &prepared, &frame, &p->inference,
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
    char *path = path_for(p, item->name, "");
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

static bool begin(Predicting *p, const json_t *config, Error *error) {
  json_t *labels = NULL;
  if (!trained_open_alone(&p->trained, config, &p->recipe, &labels, error)) return false;
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
    if (!options->quiet && p.recipe.planned && !strcmp(prepared->orientation, ORIENTATION_ANY))
      fputs("harness: the training images had no orientation in their headers: whatever these say, "
            "they are taken as they are stored\n",
            stderr);
    each_image(&p, outcome);
  }
  trained_free(&p.trained);
  new_images_free(&p.images);
  free(p.folder);
  return good;
}
