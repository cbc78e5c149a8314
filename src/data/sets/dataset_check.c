/* The report of a folder: what is in it and everything that is wrong (dataset.h). */
#include "src/data/sets/dataset_geometry.h"
#include "src/data/sets/json_text.h"
#include "src/data/sets/problems.h"
#include "src/data/sets/split.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

/* What the cases that could be read hold. */
typedef struct Census {
  int read, pictures;
  double *shape[3], *spacing[3];      /* (cases) */
  double low, high;                   /* intensity */
  int64_t voxels[DATASET_LABELS_MAX]; /* by structure; ignored ones at [labels] */
  int cases[DATASET_LABELS_MAX];
  int64_t total, foreground;
} Census;

typedef struct Range {
  double least, median, most;
} Range;

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Sorts the values. */
static Range range_of(double *value, int count) {
  if (!count) return (Range){0, 0, 0};
  qsort(value, (size_t)count, sizeof *value, by_value);
  return (Range){value[0], 0.5 * (value[(count - 1) / 2] + value[count / 2]), value[count - 1]};
}

static void census_make(Census *census, int cases) {
  *census = (Census){.low = HUGE_VAL, .high = -HUGE_VAL};
  for (int axis = 0; axis < 3; axis++) {
    census->shape[axis] = calloc((size_t)cases + 1, sizeof(double));
    census->spacing[axis] = calloc((size_t)cases + 1, sizeof(double));
    CHECK(census->shape[axis] && census->spacing[axis], "out of memory");
  }
}

static void census_free(Census *census) {
  for (int axis = 0; axis < 3; axis++) {
    free(census->shape[axis]);
    free(census->spacing[axis]);
  }
}

/* The voxels of a structure, or with structure = labels those that are ignored. */
static int64_t voxels_of(const Dataset *dataset, int structure, const int64_t *by_value) {
  const Labelling *labelling = &dataset->labelling;
  if (structure == dataset->labels) return labelling->ignore ? by_value[labelling->ignore] : 0;
  int64_t sum = 0;
  for (int value = 0; value < labelling->values; value++)
    sum += labelling_holds(labelling, structure, value) ? by_value[value] : 0;
  return sum;
}

static void census_count(Census *census, const Dataset *dataset, const Volume *volume) {
  const Grid *grid = &volume->image.grid;
  for (int axis = 0; axis < 3; axis++) {
    census->shape[axis][census->read] = grid->dim[axis];
    census->spacing[axis][census->read] = grid->spacing[axis];
  }
  census->read++;
  census->pictures += (grid->remarks & GRID_PICTURE) != 0;
  size_t voxels = grid_voxels(grid), values = voxels * (size_t)volume->image.channels;
  for (size_t i = 0; i < values; i++) {
    census->low = fmin(census->low, volume->image.data[i]);
    census->high = fmax(census->high, volume->image.data[i]);
  }
  int64_t by_value[LABEL_VALUES] = {0};
  for (size_t i = 0; i < voxels; i++) by_value[volume->label.data[i]]++;
  for (int value = 0; value < LABEL_VALUES; value++)
    if (labelling_is_foreground(&dataset->labelling, value)) census->foreground += by_value[value];
  for (int s = 0; s <= dataset->labels && s < DATASET_LABELS_MAX; s++) {
    int64_t here = voxels_of(dataset, s, by_value);
    census->voxels[s] += here;
    census->cases[s] += here > 0;
  }
  census->total += (int64_t)voxels;
}

static void cases_read(const Dataset *dataset, Census *census, Problems *problems) {
  for (int i = 0; i < dataset->cases; i++) {
    Error error = {0};
    Volume volume;
    if (!dataset_read(dataset, i, &volume, &error)) {
      problems_add(problems, "case %s: %s", dataset->item[i].name, error.text);
      continue;
    }
    census_count(census, dataset, &volume);
    volume_free(&volume, 1);
  }
  if (census->read == dataset->cases && !census->foreground)
    problems_add(problems, DATASET_NO_FOREGROUND, dataset->dir);
}

static void print_range(FILE *out, const char *name, double *value, int count, const char *format) {
  Range range = range_of(value, count);
  fprintf(out, "%-10s", name);
  fprintf(out, format, range.least);
  fprintf(out, format, range.median);
  fprintf(out, format, range.most);
  fputc('\n', out);
}

/* "2", or of a region "2+3". */
static void values_text(const Labelling *labelling, int structure, char *text, size_t bytes) {
  size_t used = 0;
  for (int value = 0; value < labelling->values; value++)
    if (labelling_holds(labelling, structure, value) && used + 8 < bytes)
      used += (size_t)snprintf(text + used, bytes - used, "%s%d", used ? "+" : "", value);
}

static void print_label(FILE *out, const Census *census, int at, const char *values,
                        const char *name) {
  fprintf(out, "%5s  %-24s%8d%14lld%10.4f\n", values, name, census->cases[at],
          (long long)census->voxels[at],
          100.0 * (double)census->voxels[at] / (double)census->total);
}

static void print_labels(FILE *out, const Dataset *dataset, const Census *census) {
  const Labelling *labelling = &dataset->labelling;
  char values[64];
  fprintf(out, "\n%5s  %-24s%8s%14s%10s\n", labelling->regions ? "of" : "label",
          labelling->regions ? "region" : "name", "cases", "voxels", "share %");
  for (int i = 0; i < dataset->labels; i++) {
    values_text(labelling, i, values, sizeof values);
    print_label(out, census, i, values, dataset->label_name[i]);
  }
  if (!labelling->ignore) return;
  snprintf(values, sizeof values, "%d", labelling->ignore);
  print_label(out, census, dataset->labels, values, "(ignored)");
}

static void print_census(FILE *out, const Dataset *dataset, Census *census) {
  fprintf(out, "%s (%s)\n%d case(s), %d read; %d channel(s):", dataset->name, dataset->dir,
          dataset->cases, census->read, dataset->channels);
  for (int i = 0; i < dataset->channels; i++) fprintf(out, " %s", dataset->channel_name[i]);
  fputc('\n', out);
  if (!census->read) return;
  static const char *const shape[] = {"depth", "height", "width"};
  static const char *const spacing[] = {"mm D", "mm H", "mm W"};
  fprintf(out, "\n%-10s%10s%10s%10s\n", "", "min", "median", "max");
  for (int axis = 0; axis < 3; axis++)
    print_range(out, shape[axis], census->shape[axis], census->read, "%10.0f");
  for (int axis = 0; axis < 3 && census->pictures < census->read; axis++)
    print_range(out, spacing[axis], census->spacing[axis], census->read, "%10.3f");
  fprintf(out, "%-10s%10.6g%10s%10.6g\n", "intensity", census->low, "", census->high);
  print_labels(out, dataset, census);
}

static void print_list(FILE *out, const char *what, const Problems *list) {
  fprintf(out, "\n%d %s(s)%s\n", list->count, what, list->count ? ":" : "");
  for (int i = 0; i < list->count; i++) fprintf(out, "  %s\n", list->text[i]);
}

static json_t *json_range(double *value, int count) {
  Range range = range_of(value, count);
  return json_pack("{s:f, s:f, s:f}", "min", range.least, "median", range.median, "max",
                   range.most);
}

static json_t *json_axes(double *const value[3], int count) {
  return json_pack("[o, o, o]", json_range(value[0], count), json_range(value[1], count),
                   json_range(value[2], count));
}

static void json_census(json_t *root, const Dataset *dataset, Census *census) {
  json_t *labels = json_array();
  for (int i = 0; i < dataset->labels; i++)
    json_array_append_new(labels, json_pack("{s:i, s:s, s:i, s:I}", "label", i, "name",
                                            dataset->label_name[i], "cases", census->cases[i],
                                            "voxels", (json_int_t)census->voxels[i]));
  json_t *channels = json_array();
  for (int i = 0; i < dataset->channels; i++)
    json_array_append_new(channels, json_string(dataset->channel_name[i]));
  json_object_set_new(root, "name", json_string(dataset->name));
  json_object_set_new(root, "cases", json_integer(dataset->cases));
  json_object_set_new(root, "cases_read", json_integer(census->read));
  json_object_set_new(root, "channels", channels);
  json_object_set_new(root, "labels", labels);
  json_t *sets = labelling_json(&dataset->labelling);
  json_object_update(root, sets);
  json_decref(sets);
  if (dataset->labelling.ignore)
    json_object_set_new(root, "ignored_voxels",
                        json_integer((json_int_t)census->voxels[dataset->labels]));
  if (!census->read) return;
  json_object_set_new(root, "shape_dhw", json_axes(census->shape, census->read));
  json_object_set_new(root, "spacing_mm_dhw", json_axes(census->spacing, census->read));
  json_object_set_new(root, "intensity",
                      json_pack("{s:f, s:f}", "min", census->low, "max", census->high));
}

static json_t *json_list(const Problems *problems) {
  json_t *list = json_array();
  for (int i = 0; i < problems->count; i++)
    json_array_append_new(list, json_name(problems->text[i]));
  return list;
}

static void print_json(FILE *out, json_t *root, const char *dir, const Dataset *dataset,
                       Census *census, const Problems *remarks, const Problems *problems) {
  json_object_set_new(root, "dir", json_name(dir));
  if (dataset) json_census(root, dataset, census);
  json_object_set_new(root, "remarks", json_list(remarks));
  json_object_set_new(root, "problems", json_list(problems));
  json_text_print(root, out);
}

/* The folder may be sound and yet hold too few cases for a trial; plans can be made. */
static void folds_look(const Dataset *dataset, Problems *remarks) {
  Split split;
  Error error = {""};
  if (split_make(&split, dataset, split_rule(dataset), 0, &error))
    split_free(&split);
  else
    problems_add(remarks, "%s", error.text);
}

static void headers_read(const Dataset *dataset, Problems *remarks, Problems *problems) {
  DatasetGeometry geometry;
  Error error = {""};
  if (!dataset_geometry(dataset, &geometry, &error)) problems_add(problems, "%s", error.text);
  if (geometry.turned)
    problems_add(remarks,
                 "%d case(s) are stored in another orientation than most (%s): turned to it by a "
                 "plan, without one trained as they are stored",
                 geometry.turned, geometry.orientation);
  for (int i = 0; i < GEOMETRY_REMARKS; i++) {
    char *text = geometry_remark(&geometry, i);
    if (text) problems_add(remarks, "%s", text);
    free(text);
  }
}

int dataset_check(const char *dir, FILE *out, json_t *head) {
  Dataset dataset;
  Problems problems = {0}, remarks = {0};
  bool found = dataset_scan(&dataset, dir, &problems);
  Census census;
  census_make(&census, dataset.cases);
  if (found) headers_read(&dataset, &remarks, &problems);
  if (found && !problems.count) folds_look(&dataset, &remarks);
  if (found) cases_read(&dataset, &census, &problems);
  if (head) {
    print_json(out, head, dir, found ? &dataset : NULL, &census, &remarks, &problems);
  } else {
    if (found) print_census(out, &dataset, &census);
    if (remarks.count) print_list(out, "remark", &remarks);
    print_list(out, "problem", &problems);
  }
  int count = problems.count;
  problems_free(&remarks);
  census_free(&census);
  problems_free(&problems);
  dataset_free(&dataset);
  return count;
}
