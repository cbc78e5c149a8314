/* The abdomens of phantom.h as a data set. */
#include "src/data/phantom/phantom.h"
#include "src/data/phantom/phantom_folder.h"

#include <limits.h>
#include <string.h>

static bool options_check(const PhantomOptions *options, Error *error) {
  for (int axis = 0; axis < 3; axis++)
    if (options->size[axis] < 8 || options->size[axis] > 1024)
      return fail(error, "phantom size %dx%dx%d: every edge must be 8..1024", options->size[0],
                  options->size[1], options->size[2]);
  if (options->organs < 1 || options->organs > PHANTOM_ORGANS)
    return fail(error, "phantom organs = %d: expected 1..%d", options->organs, PHANTOM_ORGANS);
  if (options->anatomy < 1 || options->anatomy > PHANTOM_ANATOMIES)
    return fail(error, "phantom anatomy = %d: expected 1..%d", options->anatomy, PHANTOM_ANATOMIES);
  if (options->cases < 2 || options->cases > 999)
    return fail(error, "phantom cases = %d: expected 2..999", options->cases);
  if (options->validation < 0 || options->validation >= options->cases)
    return fail(error, "phantom: %d cases leave room for a validation of 0..%d, not %d%s",
                options->cases, options->cases - 1, options->validation,
                options->validation == phantom_defaults().validation ? ", which is the default"
                                                                     : "");
  if (!(options->noise_hu >= 0 && options->noise_hu <= 1000))
    return fail(error, "phantom noise = %g HU: expected 0..1000", options->noise_hu);
  return true;
}

/* "version" is the anatomy: the first was the only one when folders were first marked. */
static json_t *options_json(const PhantomOptions *options) {
  char seed[24]; /* JSON integers are signed */
  snprintf(seed, sizeof seed, "%llu", (unsigned long long)options->seed);
  return json_pack("{s:i, s:[iii], s:i, s:i, s:i, s:f, s:s}", "version", options->anatomy, "size",
                   options->size[0], options->size[1], options->size[2], "cases", options->cases,
                   "validation", options->validation, "organs", options->organs, "noise_hu",
                   options->noise_hu, "seed", seed);
}

static json_t *dataset_json(const PhantomOptions *options) {
  const char *name[PHANTOM_ORGANS + 1];
  phantom_labels(options, name);
  json_t *labels = json_object();
  for (int i = 0; i <= options->organs; i++) json_object_set_new(labels, name[i], json_integer(i));
  json_t *root =
      json_pack("{s:s, s:s, s:{s:s}, s:o, s:i, s:s, s:i, s:o}", "name", "phantom", "description",
                "Synthetic abdomen, not patient data", "channel_names", "0", "CT", "labels", labels,
                "numTraining", options->cases, "file_ending", ".nii.gz", "harness_validation",
                options->validation, "harness_phantom", options_json(options));
  return root;
}

static bool case_write(const void *user, int index, const char *dir, Error *error) {
  const PhantomOptions *options = user;
  char path[PATH_MAX];
  Image image;
  LabelMap label;
  if (!phantom_case(options, index, &image, &label, error)) return false;
  snprintf(path, sizeof path, "%s/imagesTr/phantom_%03d_0000.nii.gz", dir, index);
  bool fine = image_write(&image, VOXEL_I16, path, error);
  snprintf(path, sizeof path, "%s/labelsTr/phantom_%03d.nii.gz", dir, index);
  fine = fine && label_write(&label, path, error);
  image_free(&image);
  label_free(&label);
  return fine;
}

bool phantom_named(const char *dataset) {
  return !strcmp(dataset, "phantom") || !strcmp(dataset, "phantom2d") || !strcmp(dataset, "scenes");
}

bool phantom_make(const PhantomOptions *options, const char *dir, Error *error) {
  if (!options_check(options, error)) return false;
  PhantomFolder folder = {dataset_json(options), options->cases, case_write, options, false};
  bool good = phantom_folder_make(&folder, dir, error);
  json_decref(folder.description);
  return good;
}
