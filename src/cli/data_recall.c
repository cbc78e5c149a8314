#include "src/cli/data_recall.h"

#include <string.h>

#include "src/store/field.h"

/* What a data set settles in a configuration (data_settle): not known before it is made. */
static const char *const settled[] = {"split", "schemes"};
enum { SETTLED = sizeof settled / sizeof *settled };

/* Of the configuration as it is typed. */
static bool typed_hash(const json_t *config, char hash[HASH_BYTES], Error *error) {
  json_t *typed = json_copy((json_t *)(uintptr_t)config);
  for (int i = 0; i < SETTLED; i++) json_object_del(typed, settled[i]);
  bool good = trial_hash(typed, "", hash, error);
  json_decref(typed);
  return good;
}

static const char *last_part(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* How many cases are for validation is no part of the folder's name. */
static const char trials_sql[] =
    "SELECT t.data_hash, t.config, (SELECT count(DISTINCT m.case_name) FROM v_attempt v"
    "  JOIN metrics m ON m.attempt_id = v.attempt_id WHERE v.trial_id = t.id AND m.split = 'val')"
    " AS cases FROM trials t WHERE t.dataset = ?1";

/* The stored trial had the data that is asked for. */
static bool same_data(const json_t *row, const json_t *config, const json_t *data) {
  int cases = field_whole(row, "cases"),
      wanted = field_whole(json_object_get(data, "options"), "validation");
  return !strcmp(last_part(field_text_if(config, "data_path")),
                 last_part(field_text_if(data, "dir"))) &&
         (cases == 0 || cases == wanted);
}

/* {typed hash: stored trial} of the experiment's data. */
static bool list_stored(const Experiment *one, Store *store, json_t **list, Error *error) {
  const json_t *data = json_object_get(one->document, "data");
  json_t *rows = NULL, *row, *parameters = json_pack("[O]", json_object_get(data, "name"));
  bool good = store_query(store, trials_sql, parameters, &rows, error);
  size_t i;
  *list = json_object();
  json_array_foreach(rows, i, row) {
    char hash[HASH_BYTES];
    json_t *config = json_loads(field_text(row, "config"), 0, NULL);
    if (config && same_data(row, config, data) && typed_hash(config, hash, error)) {
      json_object_set(row, "config", config);
      json_object_set(*list, hash, row);
    }
    json_decref(config);
  }
  json_decref(rows);
  json_decref(parameters);
  return good;
}

static void settle(json_t *cells, const json_t *like) {
  json_t *cell;
  size_t i;
  json_array_foreach(cells, i, cell) for (int k = 0; k < SETTLED; k++) {
    json_t *value = json_object_get(like, settled[k]);
    if (value) json_object_set(json_object_get(cell, "config"), settled[k], value);
  }
}

static bool recall(Experiment *one, Store *store, Error *error) {
  json_t *list, *cell, *cells = json_object_get(one->document, "cells");
  size_t i;
  bool good = list_stored(one, store, &list, error), found = false;
  json_array_foreach(cells, i, cell) {
    char hash[HASH_BYTES];
    good = good && !found && typed_hash(json_object_get(cell, "config"), hash, error);
    const json_t *row = good ? json_object_get(list, hash) : NULL;
    if (!row) continue;
    found = true;
    snprintf(one->data_hash, HASH_BYTES, "%s", field_text(row, "data_hash"));
    settle(cells, json_object_get(row, "config"));
    settle(json_object_get(json_object_get(one->document, "tries"), "cells"),
           json_object_get(row, "config"));
    break;
  }
  json_decref(list);
  return good;
}

bool data_recall(Experiments *experiments, Store *store, Error *error) {
  for (int p = 0; store && p < experiments->count; p++)
    if (!strcmp(experiments->item[p].data_hash, DATA_NOT_MADE) &&
        !recall(&experiments->item[p], store, error))
      return false;
  return true;
}
