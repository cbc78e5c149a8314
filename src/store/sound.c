/* What is asked of a database once, as it is opened (database_sound). The tables' own types and
 * constraints say most of it, so that these must be there. */
#include "src/store/database.h"

#include <string.h>

/* Each query has a row where something is wrong, whose first column says where. Hashes become parts
 * of paths; positions and claims are used as indices. */
static const struct {
  const char *sql, *words;
} wrong[] = {
    {"SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0"
     " AND name NOT LIKE 'sqlite~_%' ESCAPE '~' LIMIT 1",
     "a table that takes any type"},
    {"SELECT substr(hash, 1, 40) FROM trials WHERE length(hash) <> 32 OR hash GLOB '*[^0-9a-f]*'"
     " LIMIT 1",
     "a trial's hash that is none"},
    {"SELECT name FROM sqlite_master WHERE name IN ('trials', 'attempts')"
     " AND instr(sql, 'CHECK(status IN (') = 0 LIMIT 1",
     "a table that takes any status"},
    {"SELECT plan_id FROM rows GROUP BY plan_id HAVING min(position) <> 0"
     " OR max(position) <> count(*) - 1 OR max(coalesce(against, 0)) >= count(*)"
     " OR min(coalesce(against, 0)) < 0 LIMIT 1",
     "a plan whose rows have gaps"},
    {"SELECT plan_id FROM sequences WHERE NOT json_valid(claims)"
     " OR NOT json_valid(coalesce(looks, '[]')) LIMIT 1",
     "a sequence whose lists are no JSON"},
    {"SELECT plan_id FROM sequences s WHERE json_array_length(coalesce(looks, '[]')) > 10 OR EXISTS"
     " (SELECT 1 FROM json_each(s.claims) c, (SELECT count(*) AS n FROM rows r"
     "   WHERE r.plan_id = s.plan_id) WHERE"
     "   coalesce(c.value ->> '$.row' NOT BETWEEN 0 AND n - 1, 1) OR"
     "   coalesce(c.value ->> '$.above' NOT BETWEEN 0 AND n - 1, 1)) LIMIT 1",
     "a sequence with claims of rows that it lacks"},
};

static bool is_ours(const char *sql) {
  for (int version = 0; version < migration_count; version++)
    for (const char *const *text = migrations[version]; *text; text++)
      if (strstr(*text, sql)) return true;
  return false;
}

/* Views and triggers are run: they must be the program's own, to the letter. */
static bool run_ours(Store *store, Error *error) {
  static const char list[] =
      "SELECT name, coalesce(sql, '') AS sql FROM sqlite_master WHERE type IN ('view', 'trigger')";
  json_t *rows, *row;
  size_t i;
  bool good = store_query(store, list, NULL, &rows, error);
  json_array_foreach(rows, i, row) {
    if (good && !is_ours(json_string_value(json_object_get(row, "sql"))))
      good = fail(error, "%s: damaged: %.100s is not this program's view or trigger" STORE_CHANGED,
                  store->path, json_string_value(json_object_get(row, "name")));
  }
  json_decref(rows);
  return good;
}

bool database_sound(Store *store, Error *error) {
  if (!run_ours(store, error)) return false;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    json_t *rows;
    if (!store_query(store, wrong[i].sql, NULL, &rows, error)) return false;
    const json_t *first = json_array_get(rows, 0);
    char *where = first ? json_dumps(first, JSON_COMPACT) : NULL;
    if (where)
      fail(error, "%s: damaged: %s (%s)" STORE_CHANGED, store->path, wrong[i].words, where);
    bool good = !first;
    free(where);
    json_decref(rows);
    if (!good) return false;
  }
  return true;
}
