#include "src/cli/share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/params.h"
#include "engine/safetensors.h"
#include "src/cli/place_file.h"
#include "src/store/typed_rows.h"

void weights_path(const char *folder, const char *hash, char path[WEIGHTS_PATH]) {
  snprintf(path, WEIGHTS_PATH, "%.4200s/checkpoints/%.32s.safetensors", folder, hash);
}

/* ---- what is stored -------------------------------------------------------------------------- */

/* A trial of the same seed and fold that came to its end, with its newest attempt: the weights that
 * are kept are those of the newest, whether it counts or not. */
typedef struct Candidate {
  int64_t trial, trained;
  const char *hash, *config, *data_hash, *status, *message;
} Candidate;

static const char candidates_sql[] =
    "SELECT t.id AS trial, coalesce(a.weights_of, a.id) AS trained, t.hash, t.config, t.data_hash,"
    " t.status, a.message FROM trials t JOIN attempts a"
    "  ON a.id = (SELECT max(id) FROM attempts WHERE trial_id = t.id)"
    " WHERE t.seed = ?1 AND t.fold = ?2 AND t.hash <> ?3 AND t.status IN ('done', 'collapsed')"
    "  AND a.status = t.status AND a.removed = 0"
    "  AND NOT EXISTS (SELECT 1 FROM attempts w WHERE w.id = a.weights_of AND w.removed = 1)"
    " ORDER BY a.weights_of IS NOT NULL, a.id DESC";

static const Column columns[] = {COLUMN(Candidate, trial),     COLUMN(Candidate, trained),
                                 COLUMN(Candidate, hash),      COLUMN(Candidate, config),
                                 COLUMN(Candidate, data_hash), COLUMN(Candidate, status),
                                 COLUMN(Candidate, message),   {0}};

void share_judge(const char *folder, const char *hash, const Cell *trial, char why[ERROR_BYTES]) {
  char path[WEIGHTS_PATH], step[32] = "";
  Error reason = {""};
  weights_path(folder, hash, path);
  why[0] = 0;
  if (access(path, R_OK))
    snprintf(why, ERROR_BYTES, "the weights of trial %.8s are not there", hash);
  else if (!checkpoint_metadata(path, "step", step, sizeof step) ||
           atoll(step) != json_integer_value(json_object_get(trial->config, "steps")))
    snprintf(why, ERROR_BYTES, "the weights of trial %.8s are not those of its last step", hash);
  else if (!safetensors_verify(path, &reason))
    snprintf(why, ERROR_BYTES, "of trial %.8s: %.900s", hash, reason.text);
}

/* The candidate's part in *share, when it is of the same training. */
static bool judge(Store *store, CodeToday *today, const Candidate *c, const Cell *trial,
                  Share *share, Error *error) {
  char hash[HASH_BYTES], why[ERROR_BYTES], *file;
  CodeState state;
  json_t *config = json_loads(c->config, 0, NULL);
  bool good = !config || training_hash(config, trial->evaluation, c->data_hash, hash, error);
  bool same = config && good && !strcmp(hash, trial->training);
  json_decref(config);
  const char *model_path = json_string_value(json_object_get(trial->config, "model_path"));
  if (!same) return good;
  if (!code_of_trial(store, today, c->trial, model_path, &state, &file, error)) return false;
  share_judge(store_folder(store), c->hash, trial, why);
  bool collapsed = !strcmp(c->status, "collapsed");
  if (state == CODE_OTHER)
    snprintf(why, sizeof why, "trial %.8s was trained with another text of %s", c->hash, file);
  free(file);
  if (state == CODE_OTHER || (why[0] && !collapsed)) {
    snprintf(share->message, sizeof share->message, "%s", why);
    return true;
  }
  share->kind = why[0] ? SHARE_COLLAPSED : SHARE_WEIGHTS;
  snprintf(share->message, sizeof share->message, "%s", why[0] ? c->message : "");
  snprintf(share->hash, sizeof share->hash, "%s", c->hash);
  share->attempt = c->trained;
  return true;
}

bool share_find(Store *store, CodeToday *today, const Cell *trial, Share *share, Error *error) {
  *share = (Share){.kind = SHARE_NOTHING};
  if (!store || !trial->training[0]) return true;
  Rows rows;
  json_t *parameters = json_pack("[i,i,s]", trial->seed, trial->fold, trial->hash);
  if (!store_rows(store, candidates_sql, parameters, columns, sizeof(Candidate), &rows, error))
    return false;
  bool good = true;
  for (int i = 0; good && i < rows.count && share->kind != SHARE_WEIGHTS; i++)
    good = judge(store, today, (Candidate *)rows.row + i, trial, share, error);
  rows_free(&rows);
  return good;
}

bool share_trained(Store *store, const Cell *trial, bool *trained, Error *error) {
  static const char sql[] = "SELECT weights_of IS NULL AS trained FROM attempts WHERE trial_id = ?1"
                            " AND removed = 0 ORDER BY id DESC LIMIT 1";
  struct Row {
    int trained;
  } row = {0};
  static const Column own[] = {COLUMN(struct Row, trained), {0}};
  json_t *texts;
  bool good = !store || store_row(store, sql, json_pack("[I]", (json_int_t)trial->id), own, &row,
                                  &texts, error);
  if (store && good) json_decref(texts);
  *trained = row.trained;
  return good;
}

/* ---- the weights ----------------------------------------------------------------------------- */

/* The file, and what is kept beside it. */
static const char *const parts[] = {"", ".previous", ".postprocess.json"};

bool weights_there(const char *folder, const char *hash) {
  char path[WEIGHTS_PATH], previous[WEIGHTS_PATH + 32];
  weights_path(folder, hash, path);
  snprintf(previous, sizeof previous, "%s.previous", path);
  return access(path, R_OK) == 0 || access(previous, R_OK) == 0;
}

bool weights_place(const char *from, const char *to, const char *hash, Error *error) {
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    char source[WEIGHTS_PATH], target[WEIGHTS_PATH], part[2][WEIGHTS_PATH + 32];
    weights_path(from, hash, source);
    weights_path(to, hash, target);
    snprintf(part[0], sizeof part[0], "%s%s", source, parts[i]);
    snprintf(part[1], sizeof part[1], "%s%s", target, parts[i]);
    if (place_file(part[0], part[1])) continue;
    int reason = errno;
    if (reason != ENOENT)
      return fail(error, "%s: cannot be kept as %s, too: %s", part[0], part[1], strerror(reason));
    if (i > 0) unlink(part[1]); /* it is of other weights */
  }
  return true;
}

bool share_place(const char *folder, const char *from, const char *to, Error *error) {
  char source[WEIGHTS_PATH], target[WEIGHTS_PATH];
  weights_path(folder, from, source);
  weights_path(folder, to, target);
  checkpoint_remove(target);
  if (place_file(source, target)) return true;
  int reason = errno;
  unlink(target);
  return fail(error, "%s: cannot be kept as %s, too: %s", source, target, strerror(reason));
}
