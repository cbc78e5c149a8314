#include "src/report/firsts.h"

#include "base/error.h"
#include "lua/bind.h"
#include "src/report/option_words.h"
#include "src/store/field.h"

#include <stdlib.h>
#include <string.h>

static const char configs_sql[] =
    "SELECT r.key, r.label, r.position, t.seed, t.config FROM rows r"
    " JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id"
    " WHERE r.plan_id = ?1 ORDER BY r.position, t.fold, t.seed";

typedef struct Trial {
  const char *key, *label, *config;
  int position, seed;
} Trial;

static const Column trial_columns[] = {COLUMN(Trial, key),      COLUMN(Trial, label),
                                       COLUMN(Trial, position), COLUMN(Trial, seed),
                                       COLUMN(Trial, config),   {0}};

/* The options of a model of one's own, which no list of models has, join the report's. None where
 * its file is no longer there. */
static void add_options(const char *home, json_t *options, const json_t *config) {
  const char *path = json_string_value(json_object_get(config, "model_path"));
  Error unread = {""};
  json_t *model = path ? models_listed(home, path, &unread) : NULL, *row, *known;
  size_t i, k;
  json_array_foreach(json_object_get(model, "options"), i, row) {
    bool there = false;
    json_array_foreach(options, k, known) {
      there = there || !strcmp(field_text(known, "name"), field_text(row, "name"));
    }
    if (!there) json_array_append(options, row);
  }
  json_decref(model);
}

Firsts firsts_load(Store *store, const char *home, json_t *options, int64_t plan_id) {
  Error error = {""};
  Firsts f = {.count = 0};
  json_t *parameters = json_pack("[I]", (json_int_t)plan_id);
  if (!store_rows(store, configs_sql, parameters, trial_columns, sizeof(Trial), &f.rows, &error))
    f.rows = (Rows){0};
  f.item = calloc((size_t)f.rows.count + 1, sizeof *f.item);
  CHECK(f.item, "no memory for configurations");
  f.item[0].key = f.item[0].label = "";
  const Trial *trial = f.rows.row;
  for (int i = 0; i < f.rows.count; i++) {
    if (i && trial[i].position == trial[i - 1].position) continue;
    json_t *config = json_loads(trial[i].config, 0, NULL);
    add_options(home, options, config);
    f.item[f.count++] = (First){trial[i].key, trial[i].label, trial[i].seed, config};
  }
  return f;
}

void firsts_free(Firsts *f) {
  for (int i = 0; i < f->count; i++) json_decref(f->item[i].config);
  free(f->item);
  rows_free(&f->rows);
}

const json_t *first_option(const First *trial, const char *name) {
  return json_object_get(trial->config, name);
}

bool firsts_share(const Firsts *firsts, const char *name) {
  for (int i = 1; i < firsts->count; i++)
    if (!option_same(first_option(&firsts->item[0], name), first_option(&firsts->item[i], name)))
      return false;
  return firsts->count > 0;
}
