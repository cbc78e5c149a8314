#include "src/cli/trial_log.h"

#include <errno.h>
#include <string.h>

#include "src/store/field.h"

static bool copy(const char *path, FILE *out, Error *error) {
  char block[1 << 14];
  size_t got;
  FILE *file = fopen(path, "r");
  if (!file) return fail(error, "%s: the trial's log cannot be read: %s", path, strerror(errno));
  while ((got = fread(block, 1, sizeof block, file)) > 0) fwrite(block, 1, got, out);
  bool good = !ferror(file);
  fclose(file);
  return good || fail(error, "%s: the trial's log cannot be read to its end", path);
}

bool trial_log(Store *store, const char *prefix, FILE *out, Error *error) {
  static const char sql[] = "SELECT a.log FROM attempts a JOIN trials t ON t.id = a.trial_id"
                            " WHERE t.hash = ?1 ORDER BY a.number DESC LIMIT 1";
  char hash[HASH_BYTES], path[8400];
  if (!store_find(store, prefix, hash, error)) return false;
  json_t *rows = NULL, *parameters = json_pack("[s]", hash);
  bool good = store_query(store, sql, parameters, &rows, error);
  const char *log = good ? field_text_if(json_array_get(rows, 0), "log") : "";
  if (good && !log[0]) good = fail(error, "trial %.8s has not begun, and so has no log", hash);
  snprintf(path, sizeof path, "%.4000s/%.4000s", store_folder(store), log);
  json_decref(rows);
  json_decref(parameters);
  return good && copy(path, out, error);
}
