#define _GNU_SOURCE /* nftw, asprintf */
#include "src/data/phantom/phantom_folder.h"

#include "base/paths.h"
#include "base/utf8.h"
#include "base/whole_file.h"

#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };
static const char MARK[] = "harness_phantom";

/* True when `dir` is a phantom of these options. */
static bool is_made(const PhantomFolder *folder, const char *dir) {
  char path[PATH_BYTES + 64];
  snprintf(path, sizeof path, "%s/dataset.json", dir);
  json_t *root = json_load_file(path, 0, NULL);
  bool same =
      root && json_equal(json_object_get(root, MARK), json_object_get(folder->description, MARK));
  json_decref(root);
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

static bool cases_write(const PhantomFolder *folder, const char *dir, Error *error) {
  bool good = true;
#pragma omp parallel for schedule(dynamic, 1)
  for (int i = 0; i < folder->cases; i++) {
    Error inner = {""};
    if (folder->write(folder->options, i, dir, &inner)) continue;
#pragma omp critical(phantom)
    good = fail(error, "%s", inner.text);
  }
  return good;
}

static bool folder_fill(const PhantomFolder *folder, const char *dir, Error *error) {
  static const char *const below[] = {"imagesTr", "labelsTr", "instancesTr"};
  char path[PATH_BYTES + 64];
  if (!folder_make(dir, error)) return false;
  for (int i = 0; i < 2 + folder->numbered; i++) {
    snprintf(path, sizeof path, "%s/%s", dir, below[i]);
    if (!folder_make(path, error)) return false;
  }
  if (!cases_write(folder, dir, error)) return false;
  snprintf(path, sizeof path, "%s/dataset.json", dir);
  char *text = json_dumps(folder->description, JSON_INDENT(1));
  CHECK(text, "no memory for a phantom's dataset.json");
  bool good = whole_text(path, text, error);
  free(text);
  return good;
}

/* Two runs may make the same phantom at once: the second finds the first's. */
static bool folder_place(const PhantomFolder *folder, const char *temporary, const char *dir,
                         Error *error) {
  Error refused = {""};
  if (whole_rename(temporary, dir, &refused)) return true;
  int why = errno;
  if (is_made(folder, dir)) {
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

bool phantom_folder_make(const PhantomFolder *folder, const char *given, Error *error) {
  if (!utf8_check(given, error)) return false;
  char dir[PATH_BYTES - 64], temporary[PATH_BYTES];
  if (snprintf(dir, sizeof dir, "%s", given) >= (int)sizeof dir)
    return fail(error, "%s: path too long", given);
  for (size_t end = strlen(dir); end > 1 && dir[end - 1] == '/'; end--) dir[end - 1] = 0;
  if (is_made(folder, dir)) return true;
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
  if (folder_fill(folder, temporary, error) && folder_place(folder, temporary, dir, error))
    return true;
  nftw(temporary, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  return false;
}
