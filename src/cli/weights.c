#include "src/cli/weights.h"
#include "base/paths.h"
#include "src/data/sets/dataset.h"
#include "src/train/config.h"
#include "src/train/config_sound.h"

#include <omp.h>
#include <string.h>
#include <unistd.h>

json_t *weights_config(const char *home, const Store *store, const char *hash, const char *text,
                       Error *error) {
  char path[4400];
  Error why = {""};
  snprintf(path, sizeof path, "%.4000s/checkpoints/%s.safetensors", store_folder(store), hash);
  if (access(path, R_OK) != 0) return NULL;
  json_t *config = json_loads(text, 0, NULL);
  if (!config_sound(config, &why)) {
    fail(error, "%s: damaged: the configuration of trial %.8s is none: %s" STORE_CHANGED,
         store_path(store), hash, why.text);
    json_decref(config);
    return NULL;
  }
  json_object_set_new(config, "home", json_string_nocheck(home));
  json_object_set_new(config, "checkpoint", json_string_nocheck(path));
  omp_set_num_threads((int)config_int(config, "threads"));
  return config;
}

json_t *weights_trial(const char *home, Store *store, const char *digits, char found[HASH_BYTES],
                      Error *error) {
  char hash[HASH_BYTES];
  json_t *rows = NULL;
  if (!store_find(store, digits, hash, error)) return NULL;
  json_t *parameters = json_pack("[s]", hash);
  bool good = store_query(store, "SELECT config, status FROM trials WHERE hash = ?1", parameters,
                          &rows, error);
  json_decref(parameters);
  if (!good) return NULL;
  const json_t *trial = json_array_get(rows, 0);
  const char *status = config_text(trial, "status");
  json_t *config = weights_config(home, store, hash, config_text(trial, "config"), error);
  if (config && strcmp(status, "done"))
    fprintf(stderr, "harness: trial %.8s is %s: its weights are those of its last checkpoint\n",
            hash, status);
  if (!config) /* but for what was said of it */
    fail(error, "trial %.8s has no weights under %s/checkpoints; `harness run` makes them", hash,
         store_folder(store));
  if (found) strcpy(found, hash);
  json_decref(rows);
  return config;
}

static bool is_dataset(const char *dir) {
  char path[4400];
  snprintf(path, sizeof path, "%.4200s/dataset.json", dir);
  return access(path, F_OK) == 0;
}

static bool hash_data(const char *dir, DataSeen *seen, Error *error) {
  Dataset dataset;
  if (!strcmp(dir, seen->dir)) return true;
  if (!dataset_open(&dataset, dir, error)) return false;
  bool good = dataset_hash(&dataset, seen->hash, error);
  dataset_free(&dataset);
  snprintf(seen->dir, sizeof seen->dir, "%s", good ? dir : "");
  return good;
}

bool weights_data(json_t *config, const char *hash, const char *data_hash, DataSeen *seen,
                  Error *error) {
  const char *typed = config_text(config, "data_dir");
  const char *kept = json_string_value(json_object_get(config, "data_path"));
  const char *place = kept ? kept : typed, *dir = is_dataset(typed) ? typed : place;
  if (!is_dataset(dir))
    return fail(error, "%s: the data of trial %.8s are no longer there%s", dir, hash,
                kept ? "" : ", or were given relative to another folder: go there");
  if (!hash_data(dir, seen, error)) return false;
  if (strcmp(seen->hash, data_hash))
    return fail(error,
                "%s: these are not the data of trial %.8s: the content is %.8s, expected %.8s; "
                "they were in %s%s",
                dir, hash, seen->hash, data_hash, place,
                path_same(dir, place) ? " and have changed" : ": go there");
  json_object_set_new(config, "data_dir", json_string(dir));
  return true;
}
