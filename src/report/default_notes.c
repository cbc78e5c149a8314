#include "src/report/default_notes.h"

#include <stdlib.h>
#include <string.h>

#include "lua/bind.h"
#include "src/report/option_words.h"
#include "src/report/quote.h"
#include "src/report/today.h"
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
  const TodayOf of = {r->experiment, first ? stored->file : "", r->scale, r->device};
  json_t *today = first ? today_read(home, &of, first) : NULL;
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
