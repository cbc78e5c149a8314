#include "src/data/sets/dataset_geometry.h"
#include "src/data/sets/problems.h"

#include <omp.h>
#include <string.h>

bool problems_told(const Problems *problems, const char *dir, Error *error) {
  if (!problems->count) return true;
  if (problems->count == 1) return fail(error, "%s", problems->text[0]);
  return fail(error, "%s (and %d more: `harness data check %s` lists them)", problems->text[0],
              problems->count - 1, dir);
}

static bool has_foreground(const LabelMap *label) {
  size_t voxels = grid_voxels(&label->grid);
  for (size_t i = 0; i < voxels; i++)
    if (label->data[i]) return true;
  return false;
}

/* What is wrong with each case, several being read at a time. True: one of them has foreground. */
static bool cases_judge(const Dataset *dataset, const bool *known, char **text) {
  bool any = false;
#pragma omp parallel for schedule(dynamic, 1) reduction(|| : any)
  for (int i = 0; i < dataset->cases; i++) {
    Error error = {""};
    Volume volume;
    if (known && known[i]) {
      any = true; /* a plan was made, so there is some */
      continue;
    }
    if (!dataset_read(dataset, i, &volume, &error)) {
      text[i] = strdup(error.text);
      continue;
    }
    any = any || has_foreground(&volume.label);
    volume_free(&volume, 1);
  }
  return any;
}

bool dataset_sound(const Dataset *dataset, const bool *known, Error *error) {
  Problems problems = {0};
  char **text = calloc((size_t)dataset->cases, sizeof *text);
  CHECK(text, "out of memory for %d cases", dataset->cases);
  bool any = cases_judge(dataset, known, text);
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
