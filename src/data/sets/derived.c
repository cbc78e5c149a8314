#define _GNU_SOURCE /* asprintf */
#include "src/data/sets/derived.h"

#include "base/home.h"
#include "base/paths.h"
#include "src/data/volumes/volume_name.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

const char *derived_cache(const char *typed) {
  const char *given = typed ? typed : getenv("HARNESS_CACHE");
  return given && given[0] ? given : NULL;
}

char *derived_below(const char *root, const char *dir) {
  char *real = realpath(dir, NULL), *path = NULL;
  if (!real) return NULL;
  unsigned key = (unsigned)XXH3_64bits(real, strlen(real));
  if (asprintf(&path, "%s/%s-%08x", root, volume_base(real), key) < 0) abort();
  free(real);
  return path;
}

/* Whether `folder` stands in for the data set. */
static bool stands_for(const char *folder, const char *dir) {
  char *link = path_join(folder, "source");
  bool same = path_same(link, dir);
  free(link);
  return same;
}

static char *own_root(const char *home) {
  char results[HOME_BYTES];
  home_results(home, results);
  return path_join(results, "derived");
}

/* ROOT/NAME-KEY where that stands in for the data set; NULL: not there. */
static char *find_below(const char *root, const char *dir) {
  char *path = root ? derived_below(root, dir) : NULL;
  if (path && stands_for(path, dir)) return path;
  free(path);
  return NULL;
}

char *derived_find(const char *dir, const char *home) {
  char *root = own_root(home), *found = find_below(derived_cache(NULL), dir);
  if (!found) found = find_below(root, dir);
  free(root);
  return found ? found : strdup(dir);
}

char *derived_find_file(const char *dir, const char *home, const char *name) {
  char *folder = derived_find(dir, home), *file = path_join(folder, name);
  if (access(file, F_OK) != 0) {
    free(folder);
    folder = strdup(dir);
  }
  free(file);
  return folder;
}

/* Whether the data set's own folder will do. */
static bool can_write(const char *dir) {
  char *prepared = path_join(dir, "preprocessed");
  bool good = access(dir, W_OK | X_OK) == 0 &&
              (access(prepared, F_OK) != 0 || access(prepared, W_OK | X_OK) == 0);
  free(prepared);
  return good;
}

static bool stand_in_make(const char *path, const char *dir, Error *error) {
  char *link = path_join(path, "source"), *real = realpath(dir, NULL);
  bool good = path_make(path) && access(path, W_OK | X_OK) == 0 && real;
  if (good && !stands_for(path, dir)) {
    unlink(link);
    good = symlink(real, link) == 0;
  }
  if (!good)
    fail(error,
         "%s cannot be written to, and neither can %s (%s); `--cache FOLDER`, or "
         "HARNESS_CACHE=FOLDER "
         "for this and later commands, says where plan and prepared volumes go",
         dir, path, strerror(errno));
  free(link);
  free(real);
  return good;
}

/* Lets later commands find `path`; where they cannot, the user is told how they can. */
static void tell(const char *path, const char *root, const char *home, const char *dir) {
  char *own = own_root(home), *record = derived_below(own, dir), *real = realpath(path, NULL);
  bool found = stands_for(record, dir);
  if (!found && real && path_make(own)) {
    unlink(record);
    found = symlink(real, record) == 0;
  }
  fprintf(stderr, "harness: %s cannot be written to: its plan and prepared volumes go to %s\n", dir,
          path);
  char *absolute = realpath(root, NULL);
  if (!found)
    fprintf(stderr, "harness: later commands find them where HARNESS_CACHE='%s' is set\n",
            absolute ? absolute : root);
  free(absolute);
  free(own);
  free(record);
  free(real);
}

char *derived_make(const char *dir, const char *home, const char *cache, Error *error) {
  char *found = derived_find(dir, home);
  bool known = strcmp(found, dir) != 0;
  if (can_write(dir) || (known && !cache && access(found, W_OK | X_OK) == 0)) return found;
  free(found);
  char *own = own_root(home);
  const char *root = derived_cache(cache) ? derived_cache(cache) : own;
  char *path = derived_below(root, dir);
  bool first = path && !stands_for(path, dir);
  bool good = path ? stand_in_make(path, dir, error) : fail(error, "%s: %s", dir, strerror(errno));
  if (good && first) tell(path, root, home, dir);
  if (!good) free(path);
  free(own);
  return good ? path : NULL;
}
