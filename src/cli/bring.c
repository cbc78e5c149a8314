#include "src/cli/bring.h"

#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <unistd.h>

#include "base/paths.h"
#include "engine/params.h"
#include "src/cli/place_file.h"
#include "src/cli/share.h"

static bool make_folder(const char *folder, const char *name, Error *error) {
  char *path = path_join(folder, name);
  bool good =
      path_make(path) || fail(error, "%s: cannot make the folder: %s", path, strerror(errno));
  free(path);
  return good;
}

/* A log that is not there is no reason to refuse the results. */
static bool bring_log(const Bring *bring, const MergeAttempt *attempt, Error *error) {
  char *from = path_join(bring->from, attempt->log), *to = path_join(bring->to, attempt->kept_log);
  bool good = make_folder(bring->to, "logs", error);
  if (good && !place_file(from, to) && errno != ENOENT)
    good = fail(error, "%s: cannot be kept as %s, too: %s", from, to, strerror(errno));
  free(from);
  free(to);
  return good;
}

/* The step that a checkpoint was written after; -1: there is none, 0: it does not say. */
static long long step_of(const char *folder, const char *hash) {
  char path[WEIGHTS_PATH], step[32];
  weights_path(folder, hash, path);
  if (access(path, F_OK)) return -1;
  return checkpoint_metadata(path, "step", step, sizeof step) ? atoll(step) : 0;
}

static bool wants_weights(const Bring *bring, const MergeAttempt *attempt) {
  if (!attempt->newest || attempt->overruled) return false;
  if (!strcmp(attempt->status, "done")) return true;
  return strcmp(attempt->here, "done") && strcmp(attempt->here, "running") &&
         step_of(bring->from, attempt->hash) > step_of(bring->to, attempt->hash);
}

bool bring_files(void *user, const MergeAttempt *attempt, Error *error) {
  const Bring *bring = user;
  if (path_same(bring->from, bring->to)) return true;
  if (!bring_log(bring, attempt, error)) return false;
  return !wants_weights(bring, attempt) ||
         (make_folder(bring->to, "checkpoints", error) &&
          weights_place(bring->from, bring->to, attempt->hash, error));
}

bool bring_database(Store *store, const char *path, bool ended, const json_t *overruled,
                    MergeCount *count, Error *error) {
  char *copy = strdup(path);
  CHECK(copy, "no memory for a path");
  Bring bring = {.from = dirname(copy), .to = store_folder(store)};
  MergeFrom from = {
      .path = path, .ended = ended, .overruled = overruled, .bring = bring_files, .user = &bring};
  bool good = store_merge(store, &from, count, error);
  free(copy);
  return good;
}
