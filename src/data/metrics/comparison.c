#define _GNU_SOURCE
#include "src/data/metrics/comparison.h"
#include "base/clock.h"
#include "src/data/metrics/instances.h"
#include "src/data/sets/dataset_geometry.h"
#include "src/data/sets/dataset_json.h"
#include "src/data/volumes/placement.h"
#include "src/data/volumes/volume_name.h"

#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

/* ---- which files belong together ------------------------------------------------------------- */

static void case_add(Comparison *c, const char *name, size_t length, char *reference,
                     char *prediction) {
  c->item = realloc(c->item, ((size_t)c->cases + 1) * sizeof *c->item);
  CHECK(c->item, "no memory for %d cases", c->cases + 1);
  c->item[c->cases++] = (CompareCase){
      .name = strndup(name, length), .reference = reference, .prediction = prediction};
}

/* The label maps of a folder. */
typedef struct Maps {
  struct dirent **entry;
  int count;
} Maps;

/* The one of this name, whatever its ending; NULL: none. */
static const char *find_case(const Maps *maps, const char *name) {
  size_t length = volume_stem(name);
  for (int i = 0; i < maps->count; i++) {
    const char *found = maps->entry[i]->d_name;
    if (volume_stem(found) == length && !strncmp(found, name, length)) return found;
  }
  return NULL;
}

/* Every prediction has a reference, or it is a mistake. */
static bool predictions_known(const char *folder, const Maps *references, const char *prediction,
                              const Maps *predictions, Error *error) {
  int unknown = 0;
  const char *first = "";
  for (int i = 0; i < predictions->count; i++) {
    const char *name = predictions->entry[i]->d_name;
    if (!find_case(references, name) && !unknown++) first = name;
  }
  return !unknown ||
         fail(error, "%s: %d prediction(s) have no reference of the same name in %s, first %s",
              prediction, unknown, folder, first);
}

static bool pair_maps(Comparison *c, const char *reference, const Maps *references,
                      const char *prediction, const Maps *predictions, bool partial, Error *error) {
  const char *first = "";
  for (int i = 0; i < references->count; i++) {
    const char *name = references->entry[i]->d_name, *found = find_case(predictions, name);
    if (found)
      case_add(c, name, volume_stem(name), path_join(reference, name),
               path_join(prediction, found));
    else if (!c->unpredicted++)
      first = name;
  }
  return partial || !c->unpredicted || !c->cases ||
         fail(error,
              "%s: %d of %d reference(s) have no prediction in %s, first %s; a missing prediction "
              "is not dropped silently: --partial leaves them out",
              reference, c->unpredicted, references->count, prediction, first);
}

static bool pair_folders(Comparison *c, const char *reference, const char *prediction, bool partial,
                         Error *error) {
  Maps references = {0}, predictions = {0};
  predictions.count = volume_list(prediction, &predictions.entry, error);
  if (predictions.count >= 0) references.count = volume_list(reference, &references.entry, error);
  bool good = predictions.count >= 0 && references.count >= 0 &&
              predictions_known(reference, &references, prediction, &predictions, error) &&
              pair_maps(c, reference, &references, prediction, &predictions, partial, error);
  volume_list_free(predictions.entry, predictions.count);
  volume_list_free(references.entry, references.count);
  return good;
}

static bool pair_files(Comparison *c, const char *reference, const char *prediction, Error *error) {
  const char *name = volume_base(reference);
  const char *paths[] = {reference, prediction};
  for (int i = 0; i < 2; i++)
    if (access(paths[i], F_OK) != 0)
      return fail(error, "%s: cannot open: %s", paths[i], strerror(errno));
  size_t length = volume_stem(name);
  case_add(c, name, length ? length : strlen(name), strdup(reference), strdup(prediction));
  return true;
}

static bool pair(Comparison *c, const ComparisonOptions *options, Error *error) {
  bool folder = is_folder(options->reference);
  if (folder != is_folder(options->prediction))
    return fail(error, "%s is a %s and %s is %s: give two folders or two files", options->reference,
                folder ? "folder" : "file", options->prediction, folder ? "not" : "a folder");
  if (!folder) return pair_files(c, options->reference, options->prediction, error);
  char *labels = path_join(options->reference, "labelsTr");
  bool good = pair_folders(c, is_folder(labels) ? labels : options->reference, options->prediction,
                           options->partial, error);
  free(labels);
  return good;
}

/* ---- labels ---------------------------------------------------------------------------------- */

static bool has_description(const char *folder) {
  char *path = path_join(folder, "dataset.json");
  bool there = access(path, F_OK) == 0;
  free(path);
  return there;
}

/* The folder whose dataset.json names the labels, to be freed; NULL: there is none. */
static char *find_description(const ComparisonOptions *options) {
  if (options->dataset) {
    const char *name = volume_base(options->dataset);
    if (strcmp(name, "dataset.json")) return strdup(options->dataset);
    size_t folder = (size_t)(name - options->dataset);
    return folder ? strndup(options->dataset, folder) : strdup(".");
  }
  char *folder = realpath(options->reference, NULL);
  if (folder && !is_folder(folder)) dirname(folder);
  for (int up = 0; folder && up < 2; up++) {
    if (has_description(folder)) return folder;
    dirname(folder);
  }
  free(folder);
  return NULL;
}

static bool name_labels(Comparison *c, const ComparisonOptions *options, Error *error) {
  Problems problems = {0};
  char *folder = find_description(options);
  c->labelling = labelling_plain(LABEL_VALUES);
  if (!folder) return true;
  Dataset dataset = {.dir = folder};
  json_t *root = dataset_json_load(folder, &problems);
  bool good = root && dataset_json_describe(&dataset, root, &problems);
  if (!good) fail(error, "%s", problems.count ? problems.text[0] : "no dataset.json");
  for (int l = 0; good && l < dataset.labels; l++) {
    c->scored[l] = l > 0;
    c->label_name[l] = strdup(dataset.label_name[l]);
  }
  if (good) c->dataset = path_join(folder, "dataset.json");
  if (good) c->labelling = dataset.labelling;
  json_decref(root);
  problems_free(&problems);
  dataset_free(&dataset);
  return good;
}

/* Without a dataset.json a label is what a reference holds. */
static bool find_labels(Comparison *c, Error *error) {
  for (int l = 1; l < LABEL_VALUES; l++)
    for (int i = 0; i < c->cases; i++)
      c->scored[l] = c->scored[l] || c->item[i].score[l].reference > 0;
  for (int l = 1; l < LABEL_VALUES; l++)
    for (int i = 0; i < c->cases; i++)
      if (!c->scored[l] && c->item[i].score[l].prediction)
        return fail(error,
                    "%s: holds the value %d (%lld voxels), which no reference holds; if it is a "
                    "label, name it in a dataset.json (--dataset)",
                    c->item[i].prediction, l, (long long)c->item[i].score[l].prediction);
  return true;
}

/* ---- one case -------------------------------------------------------------------------------- */

static bool values_known(const Comparison *c, const char *path, const LabelMap *map, Error *error) {
  int64_t count[LABEL_VALUES] = {0};
  size_t voxels = c->dataset ? grid_voxels(&map->grid) : 0;
  for (size_t i = 0; i < voxels; i++) count[map->data[i]]++;
  for (int value = c->labelling.values; value < LABEL_VALUES; value++)
    if (count[value])
      return fail(error, "%s: holds the value %d (%lld voxels), which %s does not name", path,
                  value, (long long)count[value], c->dataset);
  return true;
}

/* Objects of pictures, by the instance map beside the data set's label maps where there is one. */
static bool case_objects(const Comparison *c, CompareCase *item, const LabelMap *reference,
                         const LabelMap *prediction, Error *error) {
  Image numbers = {0};
  if (!(reference->grid.remarks & GRID_PICTURE)) return true;
  char *folder = strdup(c->dataset ? c->dataset : "");
  bool good = (!c->dataset ||
               instances_read(&numbers, dirname(folder), item->name, &reference->grid, error)) &&
              score_instances(&c->labelling, reference->data, numbers.data, prediction->data,
                              reference->grid.dim, item->score, error);
  image_free(&numbers);
  free(folder);
  return good;
}

static bool case_score(const Comparison *c, CompareCase *item, const SurfaceOptions *options,
                       double seconds[2], Error *error) {
  LabelMap reference = {0}, prediction = {0};
  double start = seconds_now();
  bool good =
      label_read(&reference, item->reference, error) &&
      label_read(&prediction, item->prediction, error) &&
      label_onto((Placed){&reference.grid, item->reference}, &prediction, item->prediction, error);
  double read = seconds_now();
  good = good && values_known(c, item->reference, &reference, error) &&
         values_known(c, item->prediction, &prediction, error) &&
         score_structures(&c->labelling, reference.data, prediction.data, &reference.grid, options,
                          item->score, error) &&
         case_objects(c, item, &reference, &prediction, error);
  seconds[0] = read - start;
  seconds[1] = seconds_now() - read;
  label_free(&reference);
  label_free(&prediction);
  return good;
}

bool comparison_run(Comparison *c, const ComparisonOptions *options, bool *nothing, Error *error) {
  *c = (Comparison){0};
  *nothing = false;
  if (!pair(c, options, error) || !name_labels(c, options, error)) return false;
  *nothing = !c->cases;
  if (*nothing)
    return fail(error, "%s and %s have no label map (" FORMATS_READ ") of the same name",
                options->reference, options->prediction);
  bool good = true;
  c->pictures = true;
  for (int i = 0; i < c->cases; i++) c->pictures = c->pictures && is_picture(c->item[i].reference);
#pragma omp parallel for schedule(dynamic) if (c->cases > 1)
  for (int i = 0; i < c->cases; i++) {
    Error own = {""};
    double seconds[2];
    bool fine = case_score(c, &c->item[i], &options->surface, seconds, &own);
#pragma omp critical(comparison)
    {
      c->read_s += seconds[0];
      c->score_s += seconds[1];
      if (!fine) good = fail(error, "%s", own.text);
    }
  }
  return good && (c->dataset || find_labels(c, error));
}

void comparison_tell(const Comparison *c, FILE *out) {
  Case *pairs = calloc((size_t)c->cases + 1, sizeof *pairs);
  CHECK(pairs, "no memory for %d cases", c->cases);
  for (int i = 0; i < c->cases; i++)
    pairs[i] = (Case){.image = &c->item[i].reference, .images = 1, .label = c->item[i].prediction};
  geometry_tell(pairs, c->cases, "", out);
  free(pairs);
}

void comparison_free(Comparison *c) {
  for (int i = 0; i < c->cases; i++) {
    free(c->item[i].name);
    free(c->item[i].reference);
    free(c->item[i].prediction);
  }
  free(c->item);
  for (int l = 0; l < LABEL_VALUES; l++) free(c->label_name[l]);
  free(c->dataset);
  *c = (Comparison){0};
}
