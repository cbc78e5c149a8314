/* Experiments, their cells, and the identity of trials (store.h). */
#include "src/store/database.h"
#include "src/store/store.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- the identity of a trial: canonical JSON and its xxh3-128 -------------------------------- */

/* Raised when a change of the code alters results on purpose: every trial then counts as new. */
enum { CODE_EPOCH = 1 };

/* Keys of a configuration that say where the trial runs, not what it is. */
static const char *const machine_keys[] = {"data_dir",   "data_path",    "model_path",      "home",
                                           "checkpoint", "weights_path", "weights_map_path"};

/* 1.0 and 1 are the same option value: Lua writes either. */
static json_t *canonical(const json_t *value) {
  if (json_is_real(value)) {
    double x = json_real_value(value);
    bool whole = fabs(x) < 9007199254740992.0 && x == floor(x);
    return whole ? json_integer((json_int_t)x) : json_real(x);
  }
  if (json_is_array(value)) {
    json_t *copy = json_array();
    for (size_t i = 0; i < json_array_size(value); i++)
      json_array_append_new(copy, canonical(json_array_get(value, i)));
    return copy;
  }
  if (!json_is_object(value)) return json_deep_copy(value);
  json_t *copy = json_object();
  const char *key;
  json_t *item;
  json_object_foreach((json_t *)value, key, item) json_object_set_new(copy, key, canonical(item));
  return copy;
}

void text_hash(const char *text, char hash[HASH_BYTES]) {
  XXH128_canonical_t digest;
  XXH128_canonicalFromHash(&digest, XXH3_128bits(text, strlen(text)));
  for (int i = 0; i < 16; i++) snprintf(hash + 2 * i, 3, "%02x", digest.digest[i]);
}

bool json_hash(const json_t *value, char hash[HASH_BYTES], Error *error) {
  json_t *copy = canonical(value);
  char *text = copy ? json_dumps(copy, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
  json_decref(copy);
  if (!text) return fail(error, "a configuration cannot be written as JSON text");
  text_hash(text, hash);
  free(text);
  return true;
}

bool trial_hash(const json_t *config, const char *data_hash, char hash[HASH_BYTES], Error *error) {
  if (!json_is_object(config)) return fail(error, "a trial's configuration is not a JSON object");
  json_t *what = json_copy((json_t *)config);
  for (size_t i = 0; i < sizeof machine_keys / sizeof machine_keys[0]; i++)
    json_object_del(what, machine_keys[i]);
  json_t *identity =
      json_pack("{s:o,s:s,s:i}", "config", what, "data", data_hash, "epoch", CODE_EPOCH);
  bool good = identity ? json_hash(identity, hash, error)
                       : fail(error, "a trial's configuration cannot be hashed");
  json_decref(identity);
  return good;
}

bool training_hash(const json_t *config, const json_t *evaluation, const char *data_hash,
                   char hash[HASH_BYTES], Error *error) {
  json_t *what = json_copy((json_t *)config), *name;
  size_t i;
  json_array_foreach((json_t *)evaluation, i, name) json_object_del(what, json_string_value(name));
  bool good = trial_hash(what, data_hash, hash, error);
  json_decref(what);
  return good;
}

/* ---- experiments and their cells ------------------------------------------------------------- */

/* An experiment becomes rows, cells and trials; the same cells again are found by their hash: a row
 * of the table that is called plans. */

static const char *text(const json_t *object, const char *key) {
  return json_string_value(json_object_get(object, key));
}

/* The experiment's name becomes part of files' names and of gnuplot's commands. */
static bool check_name(const char *name, Error *error) {
  const char *at = name;
  while (isalnum((unsigned char)*at) || (*at && (strchr("_-+ ", *at) || (*at & 0x80)))) at++;
  if (at > name && !*at) return true;
  return fail(
      error,
      "the experiment's name \"%s\" is no name: letters, digits, _, -, + and blanks make one",
      name);
}

/* The parts of the document that the store relies on; whoever made it is trusted with the rest. */
static bool check(const json_t *experiment, Error *error) {
  static const char *const words[] = {"experiment", "file", "title", "metric", "scale", "device"};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    if (!text(experiment, words[i]))
      return fail(error, "the experiment has no text \"%s\"", words[i]);
  if (!check_name(text(experiment, "experiment"), error)) return false;
  if (!text(json_object_get(experiment, "data"), "name"))
    return fail(error, "the experiment has no text \"data.name\"");
  const json_t *rows = json_object_get(experiment, "rows"),
               *cells = json_object_get(experiment, "cells");
  if (json_array_size(rows) == 0)
    return fail(error, "the experiment has no rows: nothing to compare");
  for (size_t i = 0; i < json_array_size(rows); i++)
    if (!text(json_array_get(rows, i), "key") || !text(json_array_get(rows, i), "label"))
      return fail(error, "rows[%zu] of the experiment needs the texts \"key\" and \"label\"", i);
  for (size_t i = 0; i < json_array_size(cells); i++) {
    const json_t *cell = json_array_get(cells, i);
    json_int_t row = json_integer_value(json_object_get(cell, "row"));
    if (!json_is_object(json_object_get(cell, "config")) || row < 0 ||
        row >= (json_int_t)json_array_size(rows))
      return fail(error, "cells[%zu] of the experiment needs \"config\" and a \"row\" below %zu", i,
                  json_array_size(rows));
  }
  return true;
}

static bool list_trials(const json_t *experiment, const char *data_hash, Cell **out, int *count,
                        Error *error) {
  *out = NULL;
  *count = 0;
  if (!check(experiment, error)) return false;
  const json_t *cells = json_object_get(experiment, "cells");
  Cell *trials = calloc(json_array_size(cells) + 1, sizeof *trials);
  CHECK(trials, "no memory for an experiment");
  for (size_t i = 0; i < json_array_size(cells); i++) {
    const json_t *cell = json_array_get(cells, i);
    Cell *trial = &trials[i];
    trial->config = json_object_get(cell, "config");
    trial->row = (int)json_integer_value(json_object_get(cell, "row"));
    trial->seed = (int)json_integer_value(json_object_get(cell, "seed"));
    trial->fold = (int)json_integer_value(json_object_get(cell, "fold"));
    trial->evaluation = json_object_get(experiment, "evaluation");
    bool trains = trial->evaluation && !json_object_get(trial->config, "kind");
    if (trial_hash(trial->config, data_hash, trial->hash, error) &&
        (!trains ||
         training_hash(trial->config, trial->evaluation, data_hash, trial->training, error)))
      continue;
    free(trials);
    return false;
  }
  *out = trials;
  *count = (int)json_array_size(cells);
  return true;
}

bool store_state(Store *store, Cell *trial, Error *error) {
  sqlite3_stmt *statement;
  if (!database_prepare(store, "SELECT id, status FROM trials WHERE hash = ?1", &statement, error))
    return false;
  sqlite3_bind_text(statement, 1, trial->hash, -1, SQLITE_STATIC);
  int code = sqlite3_step(statement);
  if (code == SQLITE_ROW) {
    trial->id = sqlite3_column_int64(statement, 0);
    status_parse((const char *)sqlite3_column_text(statement, 1), &trial->status);
  }
  bool good = code == SQLITE_ROW || code == SQLITE_DONE;
  if (!good) database_fail(store, "reading failed", error);
  sqlite3_finalize(statement);
  return good;
}

bool store_preview(Store *store, const json_t *experiment, const char *data_hash, Cell **trials,
                   int *count, Error *error) {
  if (!list_trials(experiment, data_hash, trials, count, error)) return false;
  for (int i = 0; store && i < *count; i++)
    if (!store_state(store, &(*trials)[i], error)) return false;
  return true;
}

/* The model's name: the experiment's own word for it, else the configurations'. */
static const char *model_name(const json_t *experiment) {
  const json_t *cell = json_array_get(json_object_get(experiment, "cells"), 0);
  const char *name = text(experiment, "model");
  return name ? name : text(json_object_get(cell, "config"), "model");
}

static bool add_experiment(Store *store, const json_t *experiment, int64_t *id, Error *error) {
  const json_t *table = json_object_get(experiment, "table");
  char number[24] = "";
  if (json_is_integer(table))
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(table));
  return database_run(store, error,
                      "INSERT INTO experiments(name, table_no, title, metric, file, model, axis)"
                      " VALUES(?1, nullif(?2, ''), ?3, ?4, ?5, ?6, ?7) ON CONFLICT(name) DO UPDATE"
                      " SET table_no = excluded.table_no, title = excluded.title,"
                      " metric = excluded.metric, file = excluded.file, model = excluded.model,"
                      " axis = excluded.axis",
                      "sssssss", text(experiment, "experiment"), number, text(experiment, "title"),
                      text(experiment, "metric"), text(experiment, "file"), model_name(experiment),
                      text(experiment, "axis")) &&
         database_integer(store, error, 0, id, "SELECT id FROM experiments WHERE name = ?1", "s",
                          text(experiment, "experiment"));
}

/* [[row of the table, hash]] of the experiment's tries of rates. */
static bool tries_list(const json_t *experiment, const char *data_hash, json_t *list,
                       Error *error) {
  const json_t *tries = json_object_get(experiment, "tries"), *cell;
  size_t i;
  json_array_foreach(json_object_get(tries, "cells"), i, cell) {
    char hash[HASH_BYTES];
    json_int_t row = json_integer_value(json_object_get(cell, "row"));
    const json_t *tried = json_array_get(json_object_get(tries, "rows"), (size_t)row);
    if (!trial_hash(json_object_get(cell, "config"), data_hash, hash, error)) return false;
    json_array_append_new(list, json_pack("[O,s]", json_object_get(tried, "of"), hash));
  }
  return true;
}

/* Of the experiment's head and its cells, a reference that is taken over. Rows whose rates were
 * tried are others than those of given ones, whatever was chosen. */
static bool head_hash(const json_t *experiment, const char *data_hash, json_t *cells,
                      char hash[HASH_BYTES], Error *error) {
  json_t *what = json_pack(
      "{s:O,s:O,s:O,s:O,s:s,s:o}", "experiment", json_object_get(experiment, "experiment"), "scale",
      json_object_get(experiment, "scale"), "device", json_object_get(experiment, "device"), "rows",
      json_object_get(experiment, "rows"), "dataset",
      text(json_object_get(experiment, "data"), "name"), "cells", cells);
  json_t *tries = json_array();
  bool good = what || fail(error, "the experiment cannot be hashed");
  good = good && tries_list(experiment, data_hash, tries, error);
  if (good && json_array_size(tries)) json_object_set(what, "tries", tries);
  good = good && json_hash(what, hash, error);
  json_decref(tries);
  json_decref(what);
  return good;
}

bool seedless_hash(const json_t *config, const char *data_hash, char hash[HASH_BYTES],
                   Error *error) {
  json_t *what = json_copy((json_t *)config);
  json_object_del(what, "seed");
  bool good = trial_hash(what, data_hash, hash, error);
  json_decref(what);
  return good;
}

bool store_rows_hash(const json_t *experiment, const char *data_hash, char hash[HASH_BYTES],
                     Error *error) {
  json_t *rows = json_object(), *cell;
  size_t i;
  json_array_foreach(json_object_get(experiment, "cells"), i, cell) {
    char one[HASH_BYTES], key[HASH_BYTES + 16];
    if (!seedless_hash(json_object_get(cell, "config"), data_hash, one, error)) {
      json_decref(rows);
      return false;
    }
    snprintf(key, sizeof key, "%lld %s",
             (long long)json_integer_value(json_object_get(cell, "row")), one);
    json_object_set_new(rows, key, json_true());
  }
  return head_hash(experiment, data_hash, rows, hash, error);
}

/* Whether the cell's steps hang on what other rows' trainings took (src/cli/as_long.h). */
static bool comes_later(const json_t *experiment, int position) {
  const json_t *cell = json_array_get(json_object_get(experiment, "cells"), (size_t)position);
  return json_object_get(cell, "as_long") != NULL;
}

/* Of a plan whose seeds are added later the rows and the first seed stay the same; cells that come
 * later change no plan. */
static bool cells_hash(const json_t *experiment, const char *data_hash, const Cell *trials,
                       int count, char hash[HASH_BYTES], Error *error) {
  const json_t *until = json_object_get(experiment, "until");
  if (until) {
    char rows[HASH_BYTES];
    if (!store_rows_hash(experiment, data_hash, rows, error)) return false;
    json_t *what =
        json_pack("{s:s,s:O}", "rows", rows, "first_seed", json_object_get(until, "first_seed"));
    bool good = what ? json_hash(what, hash, error)
                     : fail(error, "the experiment's \"until\" has no \"first_seed\"");
    json_decref(what);
    return good;
  }
  json_t *cells = json_array();
  for (int i = 0; i < count; i++)
    if (!comes_later(experiment, i))
      json_array_append_new(cells, json_pack("[i,s]", trials[i].row, trials[i].hash));
  return head_hash(experiment, data_hash, cells, hash, error);
}

static bool add_rows(Store *store, const json_t *experiment, int64_t plan_id, Error *error) {
  const json_t *rows = json_object_get(experiment, "rows");
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *row = json_array_get(rows, i), *paper = json_object_get(row, "paper");
    bool known = json_is_number(paper);
    const json_t *against = json_object_get(row, "against");
    if (!database_run(store, error,
                      "INSERT INTO rows(plan_id, position, key, label, paper, paper_word, against)"
                      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, nullif(?7, -1))",
                      "iissDsi", plan_id, (int64_t)i, text(row, "key"), text(row, "label"),
                      known ? json_number_value(paper) : -1.0, text(row, "paper_word"),
                      against ? (int64_t)json_integer_value(against) : (int64_t)-1))
      return false;
  }
  return true;
}

#define NEXT_USE "(SELECT coalesce(max(used), 0) + 1 FROM plans)"

/* Inserts the set of cells, or marks an equal one as used last. *fresh: it was not there. */
static bool add_cells(Store *store, const json_t *experiment, const char *data_hash,
                      const char *hash, int64_t *id, bool *fresh, Error *error) {
  int64_t experiment_id;
  if (!add_experiment(store, experiment, &experiment_id, error) ||
      !database_integer(store, error, 0, id, "SELECT id FROM plans WHERE hash = ?1", "s", hash))
    return false;
  *fresh = *id == 0;
  json_t *list = json_object_get(experiment, "notes");
  char *notes = list ? json_dumps(list, JSON_COMPACT) : strdup("[]");
  char *test = json_dumps(json_object_get(experiment, "self_test"), JSON_COMPACT | JSON_SORT_KEYS);
  bool good = notes != NULL;
  if (good && *fresh)
    good = database_run(store, error,
                        "INSERT INTO plans(experiment_id, hash, scale, dataset, data_hash, device,"
                        " notes, self_test, created_at, used_at, used)"
                        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, " NOW ", " NOW ", " NEXT_USE ")",
                        "isssssss", experiment_id, hash, text(experiment, "scale"),
                        text(json_object_get(experiment, "data"), "name"), data_hash,
                        text(experiment, "device"), notes, test);
  else if (good)
    good = database_run(store, error,
                        "UPDATE plans SET used_at = " NOW ", used = " NEXT_USE ", notes = ?2,"
                        " self_test = ?3 WHERE id = ?1",
                        "iss", *id, notes, test);
  if (good && *fresh) *id = sqlite3_last_insert_rowid(store->db);
  free(notes);
  free(test);
  return good;
}

static char *kept_config(const json_t *config) {
  json_t *kept = json_copy((json_t *)config);
  const char *dir = text(config, "data_dir");
  char *path = dir && dir[0] ? realpath(dir, NULL) : NULL;
  json_t *found = path ? json_string(path) : NULL;
  if (found) json_object_set_new(kept, "data_path", found);
  char *words = json_dumps(kept, JSON_SORT_KEYS | JSON_COMPACT);
  free(path);
  json_decref(kept);
  return words;
}

static bool insert_trial(Store *store, const json_t *experiment, const char *data_hash, Cell *trial,
                         const char *config, Error *error) {
  bool good =
      database_run(store, error,
                   "INSERT INTO trials(hash, config, scale, dataset, data_hash, device,"
                   " seed, fold, created_at) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, " NOW ")",
                   "ssssssii", trial->hash, config, text(experiment, "scale"),
                   text(json_object_get(experiment, "data"), "name"), data_hash,
                   text(experiment, "device"), (int64_t)trial->seed, (int64_t)trial->fold);
  if (good) trial->id = sqlite3_last_insert_rowid(store->db);
  return good;
}

/* The configuration of a trial that is there differs by no more than the machine's keys. */
static bool add_trial(Store *store, const json_t *experiment, const char *data_hash, Cell *trial,
                      Error *error) {
  if (!store_state(store, trial, error)) return false;
  char *config = kept_config(trial->config);
  bool good = trial->id ? database_run(store, error,
                                       "UPDATE trials SET config = ?2 WHERE id = ?1"
                                       " AND config <> ?2",
                                       "is", trial->id, config)
                        : insert_trial(store, experiment, data_hash, trial, config, error);
  free(config);
  return good;
}

static bool add_cell(Store *store, int64_t plan_id, const Cell *trial, Error *error) {
  return database_run(store, error,
                      "INSERT OR IGNORE INTO cells(row_id, trial_id)"
                      " SELECT id, ?3 FROM rows WHERE plan_id = ?1 AND position = ?2",
                      "iii", plan_id, (int64_t)trial->row, trial->id);
}

/* What rows that come later had with other steps. */
static bool forget_later(Store *store, const json_t *experiment, int64_t plan_id,
                         const Cell *trials, int count, Error *error) {
  bool good = true;
  for (int i = 0; good && i < count; i++)
    if (comes_later(experiment, i))
      good = database_run(store, error,
                          "DELETE FROM cells WHERE row_id IN"
                          " (SELECT id FROM rows WHERE plan_id = ?1 AND position = ?2)",
                          "ii", plan_id, (int64_t)trials[i].row);
  return good;
}

static bool add_tries(Store *store, const json_t *experiment, const char *data_hash,
                      int64_t plan_id, Error *error) {
  json_t *list = json_array(), *one;
  size_t i;
  bool good = tries_list(experiment, data_hash, list, error);
  json_array_foreach(list, i, one) {
    good = good && database_run(store, error,
                                "INSERT OR IGNORE INTO tries(row_id, trial_id) SELECT r.id, t.id"
                                " FROM rows r JOIN trials t ON t.hash = ?3"
                                " WHERE r.plan_id = ?1 AND r.position = ?2",
                                "iis", plan_id, (int64_t)json_integer_value(json_array_get(one, 0)),
                                json_string_value(json_array_get(one, 1)));
  }
  json_decref(list);
  return good;
}

static bool add_all(Store *store, const json_t *experiment, const char *data_hash, int64_t *plan_id,
                    Cell *trials, int count, Error *error) {
  char hash[HASH_BYTES];
  bool fresh;
  if (!cells_hash(experiment, data_hash, trials, count, hash, error) ||
      !add_cells(store, experiment, data_hash, hash, plan_id, &fresh, error) ||
      (fresh && !add_rows(store, experiment, *plan_id, error)) ||
      !forget_later(store, experiment, *plan_id, trials, count, error))
    return false;
  for (int i = 0; i < count; i++)
    if (!add_trial(store, experiment, data_hash, &trials[i], error) ||
        !add_cell(store, *plan_id, &trials[i], error))
      return false;
  return add_tries(store, experiment, data_hash, *plan_id, error);
}

static bool add_alone(Store *store, const json_t *experiment, const char *data_hash, Cell *trials,
                      int count, Error *error) {
  for (int i = 0; i < count; i++)
    if (!add_trial(store, experiment, data_hash, &trials[i], error)) return false;
  return true;
}

bool store_add_trials(Store *store, const json_t *experiment, const char *data_hash, Cell **trials,
                      int *count, Error *error) {
  if (!list_trials(experiment, data_hash, trials, count, error)) return false;
  if (database_begin(store, error) &&
      database_end(store, add_alone(store, experiment, data_hash, *trials, *count, error), error))
    return true;
  free(*trials);
  *trials = NULL;
  *count = 0;
  return false;
}

bool store_add_experiment(Store *store, const json_t *experiment, const char *data_hash,
                          int64_t *plan_id, Cell **trials, int *count, Error *error) {
  if (!list_trials(experiment, data_hash, trials, count, error)) return false;
  bool good = database_begin(store, error);
  good = good &&
         database_end(store, add_all(store, experiment, data_hash, plan_id, *trials, *count, error),
                      error);
  if (good) return true;
  free(*trials);
  *trials = NULL;
  *count = 0;
  return false;
}
