#include "src/store/code.h"
#include "lua/bind.h"
#include "src/store/field.h"

#include <string.h>

void code_free(CodeToday *today) {
  json_decref(today->read);
  today->read = NULL;
}

/* The names that ModelFile gives to files of a home. */
static bool of_home(const char *file) {
  static const char *const folders[] = {"lua/harness/", "paper/", "experiments/"};
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
    if (!strncmp(file, folders[i], strlen(folders[i]))) return true;
  return false;
}

/* The hash of the tokens of the file at path; "" where it cannot be read. */
static void hash_file(const char *path, char hash[HASH_BYTES]) {
  FILE *file = fopen(path, "r");
  char *text = NULL;
  size_t room = 0;
  hash[0] = 0;
  if (!file) return;
  if (getdelim(&text, &room, 0, file) >= 0 || feof(file)) {
    char *tokens = lua_tokens(text ? text : "");
    text_hash(tokens, hash);
    free(tokens);
  }
  free(text);
  fclose(file);
}

const char *code_today(CodeToday *today, const char *file, const char *model_path) {
  char path[8400], hash[HASH_BYTES];
  const char *slash = model_path && !of_home(file) ? strrchr(model_path, '/') : NULL;
  if (slash)
    snprintf(path, sizeof path, "%.*s/%.4000s", (int)(slash - model_path), model_path, file);
  else
    snprintf(path, sizeof path, "%.4000s/%.4000s", today->home, file);
  if (!today->read) today->read = json_object();
  const json_t *known = json_object_get(today->read, path);
  if (known) return json_string_value(known);
  hash_file(path, hash);
  json_object_set_new(today->read, path, json_string(hash));
  return json_string_value(json_object_get(today->read, path));
}

static const char files_sql[] =
    "SELECT file, code_hash FROM v_code WHERE attempt_id = coalesce("
    " (SELECT attempt_id FROM v_attempt WHERE trial_id = ?1),"
    " (SELECT max(a.id) FROM attempts a WHERE a.trial_id = ?1 AND a.removed = 0"
    "  AND a.id IN (SELECT attempt_id FROM attempt_files))) ORDER BY file";

bool code_of_trial(Store *store, CodeToday *today, int64_t trial, const char *model_path,
                   CodeState *state, char **file, Error *error) {
  json_t *rows, *row, *parameters = json_pack("[I]", (json_int_t)trial);
  bool good = store_query(store, files_sql, parameters, &rows, error);
  json_decref(parameters);
  *file = NULL;
  *state = json_array_size(rows) ? CODE_SAME : CODE_UNKNOWN;
  size_t i;
  json_array_foreach(rows, i, row) {
    const char *name = field_text(row, "file");
    if (*file || !strcmp(field_text(row, "code_hash"), code_today(today, name, model_path)))
      continue;
    *state = CODE_OTHER;
    *file = strdup(name);
  }
  json_decref(rows);
  return good;
}
