/* Whether every case of a data set can be trained on (dataset.h). */
#include "engine/backend.h"
#include "src/data/sets/dataset_geometry.h"
#include "src/data/sets/problems.h"

#include <math.h>
#include <omp.h>
#include <string.h>
#include <unistd.h>

bool dataset_has_foreground(const Dataset *dataset, const LabelMap *label) {
  size_t voxels = grid_voxels(&label->grid);
  for (size_t i = 0; i < voxels; i++)
    if (labelling_is_foreground(&dataset->labelling, label->data[i])) return true;
  return false;
}

/* So many at a time that the largest, read and joined, fits that often into half the memory. */
static int jobs_that_fit(const Dataset *dataset) {
  double largest = 1, bytes = 2. * sizeof(float) * dataset->channels + 1;
  for (int i = 0; i < dataset->cases; i++) {
    Grid grid;
    int channels;
    Error untold = {""}; /* a bad case is told when its turn comes */
    if (volume_inspect(dataset->item[i].image[0], &grid, &channels, &untold))
      largest = fmax(largest, bytes * (double)grid_voxels(&grid));
  }
  double fit = 0.5 * (double)backend_cpu.available() / largest;
  return fit < 1 ? 1 : fit < omp_get_max_threads() ? (int)fit : omp_get_max_threads();
}

/* What is wrong with a case; NULL: nothing. */
static char *case_judge(const Dataset *dataset, int index, bool *foreground) {
  Error error = {""};
  Volume volume;
  if (!dataset_read(dataset, index, &volume, &error)) return strdup(error.text);
  *foreground = dataset_has_foreground(dataset, &volume.label);
  volume_free(&volume, 1);
  return NULL;
}

/* True: one of the cases has foreground. */
static bool cases_judge(const Dataset *dataset, const bool *known, bool quiet, char **text) {
  bool any = false, telling = !quiet && isatty(STDERR_FILENO);
  int done = 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(jobs_that_fit(dataset))
  for (int i = 0; i < dataset->cases; i++) {
    bool foreground = known && known[i]; /* a plan was made, so there is some */
    if (!foreground) text[i] = case_judge(dataset, i, &foreground);
#pragma omp critical(judge)
    {
      any = any || foreground;
      done++;
      if (telling) fprintf(stderr, "\rreading: %d of %d cases\033[K", done, dataset->cases);
    }
  }
  if (telling) fputs("\r\033[K", stderr);
  return any;
}

bool dataset_sound(const Dataset *dataset, const bool *known, bool quiet, Error *error) {
  Problems problems = {0};
  char **text = calloc((size_t)dataset->cases, sizeof *text);
  CHECK(text, "out of memory for %d cases", dataset->cases);
  bool any = cases_judge(dataset, known, quiet, text);
  for (int i = 0; i < dataset->cases; i++) {
    if (text[i]) problems_add(&problems, "case %s: %s", dataset->item[i].name, text[i]);
    free(text[i]);
  }
  free(text);
  DatasetGeometry geometry;
  Error mixed = {""};
  if (!dataset_geometry(dataset, &geometry, &mixed)) problems_add(&problems, "%s", mixed.text);
  if (!any && !problems.count) problems_add(&problems, DATASET_NO_FOREGROUND, dataset->dir);
  bool sound = problems_told(&problems, dataset->dir, error);
  problems_free(&problems);
  return sound;
}
