#define _GNU_SOURCE /* nftw, asprintf */
#include "src/data/phantom/phantom.h"

#include "base/paths.h"
#include "base/utf8.h"

#include <errno.h>
#include <ftw.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

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
    return fail(error, "phantom validation = %d: expected 0..%d", options->validation,
                options->cases - 1);
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

/* True when `dir` is a phantom of these options. */
static bool is_made(const PhantomOptions *options, const char *dir) {
  char path[PATH_BYTES + 64];
  snprintf(path, sizeof path, "%s/dataset.json", dir);
  json_t *root = json_load_file(path, 0, NULL), *wanted = options_json(options);
  bool same = root && json_equal(json_object_get(root, "harness_phantom"), wanted);
  json_decref(root);
  json_decref(wanted);
  return same;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw) {
  (void)status, (void)type, (void)ftw;
  return remove(path);
}

static bool folder_make(const char *path, Error *error) {
  if (mkdir(path, 0777) == 0) return true;
  return fail(error, "%s: cannot make the folder: %s", path, strerror(errno));
}

/* The folders above `dir`. */
static bool parents_make(const char *dir, Error *error) {
  char above[PATH_BYTES];
  snprintf(above, sizeof above, "%s", dir);
  char *slash = strrchr(above, '/');
  if (!slash || slash == above) return true;
  *slash = 0;
  return path_make(above) || fail(error, "%s: cannot make the folder: %s", above, strerror(errno));
}

static bool case_write(const PhantomOptions *options, int index, const char *dir, Error *error) {
  char path[PATH_BYTES + 64];
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

static bool cases_write(const PhantomOptions *options, const char *dir, Error *error) {
  bool good = true;
#pragma omp parallel for schedule(dynamic, 1)
  for (int i = 0; i < options->cases; i++) {
    Error inner = {""};
    if (case_write(options, i, dir, &inner)) continue;
#pragma omp critical(phantom)
    good = fail(error, "%s", inner.text);
  }
  return good;
}

static bool folder_fill(const PhantomOptions *options, const char *dir, Error *error) {
  char path[PATH_BYTES + 64];
  if (!folder_make(dir, error)) return false;
  snprintf(path, sizeof path, "%s/imagesTr", dir);
  if (!folder_make(path, error)) return false;
  snprintf(path, sizeof path, "%s/labelsTr", dir);
  if (!folder_make(path, error)) return false;
  if (!cases_write(options, dir, error)) return false;
  snprintf(path, sizeof path, "%s/dataset.json", dir);
  json_t *root = dataset_json(options);
  bool fine = json_dump_file(root, path, JSON_INDENT(1)) == 0;
  json_decref(root);
  return fine || fail(error, "%s: not written: %s", path, strerror(errno));
}

/* Two runs may make the same phantom at once: the second finds the first's. */
static bool folder_place(const PhantomOptions *options, const char *temporary, const char *dir,
                         Error *error) {
  if (rename(temporary, dir) == 0) return true;
  int why = errno;
  if (is_made(options, dir)) {
    nftw(temporary, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return true;
  }
  if (why == ENOTEMPTY || why == EEXIST || why == ENOTDIR)
    return fail(error,
                "%s: holds something other than a phantom of these options; name another "
                "folder, or remove this one",
                dir);
  return fail(error, "%s: cannot be put in place: %s", dir, strerror(why));
}

bool phantom_make(const PhantomOptions *options, const char *given, Error *error) {
  if (!options_check(options, error) || !utf8_check(given, error)) return false;
  char dir[PATH_BYTES - 64], temporary[PATH_BYTES];
  if (snprintf(dir, sizeof dir, "%s", given) >= (int)sizeof dir)
    return fail(error, "%s: path too long", given);
  for (size_t end = strlen(dir); end > 1 && dir[end - 1] == '/'; end--) dir[end - 1] = 0;
  if (is_made(options, dir)) return true;
  struct stat status;
  if (stat(dir, &status) == 0 && rmdir(dir) != 0) /* an empty folder may be replaced */
    return fail(error,
                "%s: holds something other than a phantom of these options; name another "
                "folder, or remove this one",
                dir);
  if (!parents_make(dir, error)) return false;
  snprintf(temporary, sizeof temporary, "%s.tmp-%ld", dir, (long)getpid());
  nftw(temporary, remove_entry, 16,
       FTW_DEPTH | FTW_PHYS); /* of a killed run with the same number */
  if (folder_fill(options, temporary, error) && folder_place(options, temporary, dir, error))
    return true;
  nftw(temporary, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  return false;
}
