#include "src/data/plan/fingerprint.h"

#include "src/data/sets/dataset_geometry.h"
#include "src/data/sets/json_text.h"

#include <math.h>
#include <omp.h>
#include <string.h>
#include <unistd.h>

enum { SIZE_MOST = 1 << 20 };

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double percentile(double *value, int count, double percent) {
  qsort(value, (size_t)count, sizeof *value, by_value);
  double rank = percent / 100 * (count - 1);
  int below = (int)rank, above = below + 1 < count ? below + 1 : below;
  return value[below] + (rank - below) * (value[above] - value[below]);
}

void fingerprint_free(Fingerprint *fingerprint) {
  free(fingerprint->mm);
  free(fingerprint->dim);
  *fingerprint = (Fingerprint){0};
}

static void fingerprint_room(Fingerprint *fingerprint, int cases) {
  fingerprint->cases = cases;
  fingerprint->mm = calloc((size_t)cases, sizeof *fingerprint->mm);
  fingerprint->dim = calloc((size_t)cases, sizeof *fingerprint->dim);
  CHECK(fingerprint->mm && fingerprint->dim, "out of memory for %d cases", cases);
}

/* ---- measuring ------------------------------------------------------------------------------- */

bool fingerprint_orient(Fingerprint *fingerprint, const Dataset *dataset, Error *error) {
  DatasetGeometry geometry;
  if (!dataset_geometry(dataset, &geometry, error)) return false;
  if (!fingerprint->orientation[0]) strcpy(fingerprint->orientation, geometry.orientation);
  fingerprint->turned = geometry.turned;
  fingerprint->unoriented = geometry.unoriented;
  return true;
}

/* One case's row of the fingerprint. */
static bool case_measure(Fingerprint *fingerprint, const Dataset *dataset, int index,
                         double *relative, bool *marked, Foreground *foreground, Error *error) {
  Volume volume;
  Frame frame;
  if (!dataset_read(dataset, index, &volume, error)) return false;
  *marked = dataset_has_foreground(dataset, &volume.label);
  bool good = frame_make(&frame, &volume.image.grid, fingerprint->orientation, error);
  if (good) {
    frame_crop(&frame, &volume.image);
    memcpy(fingerprint->mm[index], frame.box_mm, sizeof frame.box_mm);
    memcpy(fingerprint->dim[index], frame.box_dim, sizeof frame.box_dim);
    *relative = (double)frame.box_dim[0] * frame.box_dim[1] * frame.box_dim[2] /
                (double)grid_voxels(&frame.file);
    int quota = foreground_quota(dataset->cases, dataset->channels);
    good = foreground_take(foreground, &volume, &frame, quota, error);
  }
  volume_free(&volume, 1);
  return good;
}

/* What the cases' measuring shares. */
typedef struct Survey {
  double *relative;       /* (cases) */
  bool *marked;           /* (cases): holds a structure */
  Foreground *foreground; /* (cases, channels) */
} Survey;

static bool intensities_find(Fingerprint *fingerprint, const Dataset *dataset, const Survey *survey,
                             Error *error) {
  bool any = false;
  for (int i = 0; i < dataset->cases; i++) any |= survey->marked[i];
  for (int channel = 0; channel < dataset->channels; channel++)
    fingerprint->intensity[channel] =
        foreground_intensity(survey->foreground + channel, dataset->cases, dataset->channels);
  return any || fail(error, DATASET_NO_FOREGROUND, dataset->dir);
}

static bool cases_measure(Fingerprint *fingerprint, const Dataset *dataset, const Survey *survey,
                          int jobs, bool quiet, Error *error) {
  int done = 0, first = dataset->cases; /* that is bad */
  bool terminal = isatty(STDERR_FILENO);
#pragma omp parallel for schedule(dynamic, 1) num_threads(jobs)
  for (int i = 0; i < dataset->cases; i++) {
    Error inner = {""};
    bool fine = case_measure(fingerprint, dataset, i, &survey->relative[i], &survey->marked[i],
                             survey->foreground + i * dataset->channels, &inner);
#pragma omp critical
    {
      done++;
      if (!fine && i < first) {
        first = i;
        error->text[0] = 0;
        fail(error, "case %s: %s", dataset->item[i].name, inner.text);
      }
      if (!quiet && terminal)
        fprintf(stderr, "\rreading: %d of %d cases\033[K", done, dataset->cases);
    }
  }
  if (!quiet && terminal) fputs("\r\033[K", stderr);
  return first == dataset->cases;
}

bool fingerprint_make(Fingerprint *fingerprint, const Dataset *dataset, int jobs, bool quiet,
                      Error *error) {
  *fingerprint = (Fingerprint){.channels = dataset->channels};
  fingerprint_room(fingerprint, dataset->cases);
  size_t cases = (size_t)dataset->cases;
  int kept = dataset->cases * dataset->channels;
  Survey survey = {.relative = calloc(cases, sizeof(double)),
                   .marked = calloc(cases, sizeof(bool)),
                   .foreground = calloc((size_t)kept, sizeof(Foreground))};
  CHECK(survey.relative && survey.marked && survey.foreground, "out of memory for %d cases",
        dataset->cases);
  bool good = fingerprint_orient(fingerprint, dataset, error) &&
              cases_measure(fingerprint, dataset, &survey, jobs, quiet, error) &&
              intensities_find(fingerprint, dataset, &survey, error);
  if (good) fingerprint->relative = percentile(survey.relative, dataset->cases, 50);
  foreground_free(survey.foreground, kept);
  free(survey.foreground);
  free(survey.marked);
  free(survey.relative);
  if (!good) fingerprint_free(fingerprint);
  return good;
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool triple_read(const json_t *json, double out[3]) {
  for (size_t i = 0; i < 3; i++) {
    out[i] = json_number_value(json_array_get(json, i));
    if (!(out[i] > 0)) return false;
  }
  return json_array_size(json) == 3;
}

static bool cases_read(Fingerprint *fingerprint, const json_t *root, const char *path,
                       Error *error) {
  const json_t *mm = json_object_get(root, "spacings");
  const json_t *dim = json_object_get(root, "shapes_after_crop");
  size_t cases = json_array_size(mm);
  if (!cases || json_array_size(dim) != cases)
    return fail(error,
                "%s: \"spacings\" and \"shapes_after_crop\" must be lists of equal length; found "
                "%zu and %zu",
                path, cases, json_array_size(dim));
  fingerprint_room(fingerprint, (int)cases);
  for (size_t i = 0; i < cases; i++) {
    double size[3];
    if (!triple_read(json_array_get(mm, i), fingerprint->mm[i]) ||
        !triple_read(json_array_get(dim, i), size))
      return fail(error,
                  "%s: entry %zu of spacings or shapes_after_crop is not three numbers above 0",
                  path, i);
    for (int axis = 0; axis < 3; axis++) {
      if (!(size[axis] >= 1 && size[axis] <= SIZE_MOST))
        return fail(error, "%s: entry %zu of shapes_after_crop: expected sizes of 1..%d", path, i,
                    SIZE_MOST);
      fingerprint->dim[i][axis] = (int)size[axis];
    }
  }
  return true;
}

bool fingerprint_intensities(Fingerprint *fingerprint, const json_t *root, const char *path,
                             Error *error) {
  static const char *const names[] = {
      "mean", "median", "std", "min", "max", "percentile_00_5", "percentile_99_5"};
  const json_t *channels = json_object_get(root, "foreground_intensity_properties_per_channel");
  size_t count = json_object_size(channels);
  if (count < 1 || count > CHANNELS_MAX)
    return fail(error, "%s: foreground_intensity_properties_per_channel: expected 1..%d channels",
                path, CHANNELS_MAX);
  fingerprint->channels = (int)count;
  for (size_t i = 0; i < count; i++) {
    char key[16];
    snprintf(key, sizeof key, "%zu", i);
    const json_t *json = json_object_get(channels, key);
    Intensity *intensity = &fingerprint->intensity[i];
    double *const value[] = {&intensity->mean,  &intensity->median, &intensity->sd,
                             &intensity->least, &intensity->most,   &intensity->low,
                             &intensity->high};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
      if (!json_is_number(json_object_get(json, names[k])))
        return fail(error, "%s: channel %zu has no \"%s\"", path, i, names[k]);
      *value[k] = json_number_value(json_object_get(json, names[k]));
    }
  }
  return true;
}

bool fingerprint_read(Fingerprint *fingerprint, const char *path, Error *error) {
  *fingerprint = (Fingerprint){.relative = 1};
  json_t *root = json_file_load(path, 0, error);
  if (!root) return false;
  const char *orientation = json_string_value(json_object_get(root, "orientation"));
  if (orientation && strlen(orientation) == 3) strcpy(fingerprint->orientation, orientation);
  const json_t *relative = json_object_get(root, "median_relative_size_after_cropping");
  if (json_is_number(relative)) fingerprint->relative = json_number_value(relative);
  bool good = cases_read(fingerprint, root, path, error) &&
              fingerprint_intensities(fingerprint, root, path, error);
  json_decref(root);
  if (!good) fingerprint_free(fingerprint);
  return good;
}

static json_t *fingerprint_json(const Fingerprint *f) {
  json_t *mm = json_array(), *dim = json_array(), *channels = json_object();
  for (int i = 0; i < f->cases; i++) {
    json_array_append_new(mm, json_pack("[f,f,f]", f->mm[i][0], f->mm[i][1], f->mm[i][2]));
    json_array_append_new(dim, json_pack("[i,i,i]", f->dim[i][0], f->dim[i][1], f->dim[i][2]));
  }
  for (int i = 0; i < f->channels; i++) {
    char key[16];
    snprintf(key, sizeof key, "%d", i);
    const Intensity *v = &f->intensity[i];
    json_object_set_new(channels, key,
                        json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "mean", v->mean, "median",
                                  v->median, "std", v->sd, "min", v->least, "max", v->most,
                                  "percentile_00_5", v->low, "percentile_99_5", v->high));
  }
  return json_pack("{s:s, s:i, s:i, s:f, s:o, s:o, s:o}", "orientation", f->orientation,
                   "turned_cases", f->turned, "unoriented_cases", f->unoriented,
                   "median_relative_size_after_cropping", f->relative,
                   "foreground_intensity_properties_per_channel", channels, "spacings", mm,
                   "shapes_after_crop", dim);
}

bool fingerprint_write(const Fingerprint *fingerprint, const char *path, Error *error) {
  json_t *root = fingerprint_json(fingerprint);
  bool good = json_text_write(root, path, error);
  json_decref(root);
  return good;
}
