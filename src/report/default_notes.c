#include "src/report/default_notes.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lua/bind.h"
#include "src/data/plan/plan_file.h"
#include "src/report/option_words.h"
#include "src/report/quote.h"
#include "src/store/field.h"

/* The trials of a row differ in seed and fold alone. */
static const char configs_sql[] =
    "SELECT r.position, e.file, min(t.config) AS config FROM rows r"
    " JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id"
    " JOIN plans p ON p.id = r.plan_id JOIN experiments e ON e.id = p.experiment_id"
    " WHERE r.plan_id = ?1 GROUP BY r.position ORDER BY r.position";

typedef struct Stored {
  int position;
  const char *file, *config;
} Stored;
static const Column columns[] = {
    COLUMN(Stored, position), COLUMN(Stored, file), COLUMN(Stored, config), {0}};

/* ---- today's --------------------------------------------------------------------------------- */

/* The data's folder where it is no phantom; "": it is. */
static const char *folder_of(const json_t *config) {
  const char *path = field_text_if(config, "data_path"), *dir = field_text_if(config, "data_dir");
  const char *found = path[0] ? path : dir, *slash = strrchr(found, '/');
  return strncmp(slash ? slash + 1 : found, "phantom-", 8) ? found : "";
}

/* What the experiment's file asks for at the result's scale, on its device and data; NULL: it
 * cannot be read. Where it was typed from elsewhere, that of this name in HOME. */
static json_t *read_today(const char *home, const Result *r, const Stored *stored,
                          const json_t *config) {
  char path[4200], scale[100], device[100], data[4200], *overrides[3];
  const char *folder = folder_of(config);
  int count = 0;
  Error unread = {""};
  json_t *today = NULL;
  snprintf(path, sizeof path, "%.4000s", stored->file);
  if (access(path, R_OK))
    snprintf(path, sizeof path, "%.4000s/experiments/%.80s.lua", home, r->experiment);
  snprintf(scale, sizeof scale, "scale=%.80s", r->scale);
  snprintf(device, sizeof device, "device=%.80s", r->device);
  snprintf(data, sizeof data, "data=%.4000s", folder);
  overrides[count++] = scale;
  overrides[count++] = device;
  if (folder[0]) overrides[count++] = data;
  if (access(path, R_OK) || (folder[0] && access(folder, R_OK))) return NULL;
  return experiment_read(home, path, count, overrides, plan_of_data, &today, &unread) ? today
                                                                                      : NULL;
}

/* ---- differences ----------------------------------------------------------------------------- */

static json_t *value_text(const json_t *value) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *memory = open_memstream(&text, &bytes);
  CHECK(memory, "no memory for an option");
  option_put(value, memory);
  CHECK(fclose(memory) == 0 && text, "no memory for an option");
  json_t *json = json_string(text);
  free(text);
  return json ? json : json_string("?");
}

/* An option that is not in a configuration has the value that meant "as before" it came, where
 * that is known. */
static const json_t *value_in(const json_t *config, const json_t *option) {
  const json_t *value = json_object_get(config, field_text(option, "name"));
  return value ? value : json_object_get(option, "before");
}

/* What a phantom is made like is its folder's name. */
static void compare_phantoms(const json_t *config, const json_t *today, json_t *otherwise) {
  const char *own = strrchr(field_text_if(config, "data_dir"), '/');
  const char *other = strrchr(field_text_if(today, "data_dir"), '/');
  if (own && other && !strncmp(own + 1, "phantom-", 8) && strcmp(own, other))
    json_object_set_new(otherwise, "data", json_pack("[s, s]", own + 1, other + 1));
}

static json_t *compare(const json_t *config, const json_t *today, const json_t *options) {
  json_t *otherwise = json_object();
  const json_t *option;
  size_t i;
  if (today) compare_phantoms(config, today, otherwise);
  json_array_foreach(today ? options : NULL, i, option) {
    const json_t *own = value_in(config, option), *other = value_in(today, option);
    if (own && other && !option_same(own, other) && strcmp(field_text(option, "name"), "fold"))
      json_object_set_new(otherwise, field_text(option, "name"),
                          json_pack("[o, o]", value_text(own), value_text(other)));
  }
  return otherwise;
}

bool defaults_judge(Store *store, const char *home, Result *r, Error *error) {
  Rows rows;
  r->otherwise = json_array();
  if (!home || r->plans || strchr(r->scale, '+')) return true;
  if (!store_rows(store, configs_sql, json_pack("[I]", (json_int_t)r->plan_id), columns,
                  sizeof(Stored), &rows, error))
    return false;
  const Stored *stored = rows.row;
  Error unread = {""};
  json_t *first = rows.count ? json_loads(stored->config, 0, NULL) : NULL;
  json_t *options = experiment_options(home, EVERY_MODEL, &unread);
  json_t *today = first ? read_today(home, r, stored, first) : NULL;
  for (int i = 0; i < rows.count && i < r->rows; i++) {
    json_t *config = json_loads(stored[i].config, 0, NULL);
    json_array_append_new(r->otherwise,
                          compare(config, experiment_config(today, r->row[i].key), options));
    json_decref(config);
  }
  json_decref(first);
  json_decref(options);
  json_decref(today);
  rows_free(&rows);
  return true;
}

/* ---- notes ----------------------------------------------------------------------------------- */

/* Every row has it so. */
static bool shared(const Result *r, const char *name, const json_t *pair) {
  const json_t *row;
  size_t i;
  json_array_foreach(r->otherwise, i, row) {
    if (!json_equal(json_object_get(row, name), pair)) return false;
  }
  return true;
}

/* "NAME=VALUE (today OTHER)", with commas, of those that all share or that not all do. */
static void put_options(const Result *r, const json_t *row, bool of_all, const char *mark,
                        const char *label, FILE *out) {
  const char *name;
  json_t *pair;
  int count = 0;
  json_object_foreach((json_t *)row, name, pair) {
    if (shared(r, name, pair) != of_all) continue;
    if (!count) fputs(mark, out);
    if (!count) quote_line(label, out);
    fprintf(out, "%s %s=", count++ ? "," : of_all ? ":" : " alone:", name);
    quote_line(json_string_value(json_array_get(pair, 0)), out);
    fputs(" (today ", out);
    quote_line(json_string_value(json_array_get(pair, 1)), out);
    fputc(')', out);
  }
  if (count) fputc('\n', out);
}

void default_notes(const Result *r, const char *mark, FILE *out) {
  size_t i;
  const json_t *row;
  put_options(r, json_array_get(r->otherwise, 0), true, mark,
              "trained otherwise than its experiment has it today, by defaults of then or as typed",
              out);
  json_array_foreach(r->otherwise, i, row) put_options(r, row, false, mark, r->row[i].label, out);
}
