#include "src/cli/claims.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/paths.h"

/* ---- one file -------------------------------------------------------------------------------- */

static bool write_whole(const char *path, const char *text) {
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return false;
  size_t length = strlen(text);
  bool good = write(file, text, length) == (ssize_t)length && fsync(file) == 0;
  int reason = errno;
  if (close(file) && good) good = false, reason = errno;
  errno = reason;
  return good;
}

/* The answer to link may be lost on the way from a server that has done it: then the file has two
 * names. */
static bool link_once(const char *own, const char *path) {
  struct stat information;
  return link(own, path) == 0 || (stat(own, &information) == 0 && information.st_nlink == 2);
}

bool claims_put_once(const char *folder, const char *name, const char *text, const char *worker,
                     bool *mine, Error *error) {
  char own[4600], path[4600];
  snprintf(own, sizeof own, "%.4000s/.%.160s-%d", folder, worker, (int)getpid());
  snprintf(path, sizeof path, "%.4000s/%.300s", folder, name);
  bool good = write_whole(own, text);
  *mine = good && link_once(own, path);
  int reason = errno;
  unlink(own);
  if (*mine || (good && reason == EEXIST)) return true;
  return fail(error, "%s: cannot be written: %s", path, strerror(reason));
}

static bool is_there(const char *path) {
  return access(path, F_OK) == 0;
}

static void claim_path(const char *folder, const char *unit, int number, const char *end,
                       char path[4600]) {
  snprintf(path, 4600, "%.4000s/claims/%.160s.%d%s", folder, unit, number, end);
}

json_t *claims_read(const char *folder, const char *unit, int number) {
  char path[4600];
  if (number < 0)
    snprintf(path, sizeof path, "%.4000s/done/%.160s", folder, unit);
  else
    claim_path(folder, unit, number, "", path);
  return json_load_file(path, 0, NULL);
}

/* ---- a unit ---------------------------------------------------------------------------------- */

bool claims_folders(const Claims *claims, Error *error) {
  static const char *const names[] = {"claims", "done"};
  for (int i = 0; i < 2; i++) {
    char *path = path_join(claims->folder, names[i]);
    bool good =
        path_make(path) || fail(error, "%s: cannot make the folder: %s", path, strerror(errno));
    free(path);
    if (!good) return false;
  }
  return true;
}

static bool lives(const Claims *claims, const char *unit, int number, Error *error) {
  json_t *claim = claims_read(claims->folder, unit, number);
  const char *worker = json_string_value(json_object_get(claim, "worker"));
  bool known = worker != NULL, alive = known && claims->lives(claims->user, worker);
  json_decref(claim);
  if (!known)
    fail(error, "%s/claims/%s.%d: this is no claim; expected a JSON object with \"worker\"",
         claims->folder, unit, number);
  return alive;
}

bool claims_look(const Claims *claims, const char *unit, ClaimState *state, Error *error) {
  char path[4600];
  Error broken = {""};
  *state = (ClaimState){.taken = 0};
  snprintf(path, sizeof path, "%.4000s/done/%.160s", claims->folder, unit);
  state->done = is_there(path);
  for (;; state->taken++) {
    claim_path(claims->folder, unit, state->taken, "", path);
    if (!is_there(path)) break;
    claim_path(claims->folder, unit, state->taken, ".back", path);
    state->held = !is_there(path);
    state->deaths += state->held;
  }
  if (state->held && (state->done || lives(claims, unit, state->taken - 1, &broken)))
    state->deaths--;
  else
    state->held = false;
  state->held = state->held && !state->done;
  state->given_up = !state->done && state->deaths >= CLAIM_DEATHS;
  return !broken.text[0] || fail(error, "%s", broken.text);
}

static bool put(const Claims *claims, const char *folder, const char *name, const json_t *what,
                bool *mine, Error *error) {
  char *path = path_join(claims->folder, folder);
  json_t *all = what ? json_copy((json_t *)what) : json_object();
  json_object_set_new(all, "worker", json_string(claims->worker));
  char *text = json_dumps(all, JSON_SORT_KEYS | JSON_COMPACT);
  CHECK(text, "a claim cannot be written as JSON");
  bool good = claims_put_once(path, name, text, claims->worker, mine, error);
  free(text);
  json_decref(all);
  free(path);
  return good;
}

bool claims_take(const Claims *claims, const char *unit, const ClaimState *state,
                 const json_t *what, bool *taken, Error *error) {
  char name[CLAIM_NAME + 16];
  snprintf(name, sizeof name, "%s.%d", unit, state->taken);
  return put(claims, "claims", name, what, taken, error);
}

bool claims_give_back(const Claims *claims, const char *unit, int number, Error *error) {
  char name[CLAIM_NAME + 24];
  bool mine;
  snprintf(name, sizeof name, "%s.%d.back", unit, number);
  return put(claims, "claims", name, NULL, &mine, error);
}

bool claims_finish(const Claims *claims, const char *unit, const json_t *what, bool *first,
                   Error *error) {
  return put(claims, "done", unit, what, first, error);
}

bool claims_lost(const Claims *claims, const char *unit, int number) {
  char path[4600];
  claim_path(claims->folder, unit, number + 1, "", path);
  return is_there(path);
}
