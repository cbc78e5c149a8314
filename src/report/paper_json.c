/* A paper's table, and the list of all, as JSON. */
#include "src/report/paper_table.h"

#include <stdint.h>

#include "src/machine/document.h"
#include "src/report/paper_runs.h"
#include "src/store/field.h"

/* An empty list is an object where it comes from Lua. */
static json_t *list_of(const json_t *object, const char *key) {
  const json_t *list = json_object_get(object, key);
  return json_is_array(list) ? json_incref((json_t *)(uintptr_t)list) : json_array();
}

static json_t *text_or_null(const char *text) {
  return text[0] ? json_string(text) : json_null();
}

/* {"ISIC2016 Dice": 92.45}, as printed; null: nothing is. */
static json_t *printed(const json_t *row, const json_t *columns) {
  json_t *values = json_object();
  const json_t *column;
  size_t k;
  json_array_foreach((json_t *)(uintptr_t)columns, k, column) {
    char name[COLUMN_NAME];
    json_t *value = json_array_get(json_object_get(row, "values"), k);
    json_object_set_new(values, paper_column(column, name),
                        json_is_false(value) ? json_null() : json_incref(value));
  }
  return values;
}

/* The fields of a stored table's rows, and what is printed. */
static json_t *json_row(const json_t *row, const json_t *columns) {
  const json_t *paper = json_object_get(row, "paper");
  json_t *counted = json_object_get(row, "counted");
  return json_pack("{s:s,s:s,s:o,s:n,s:n,s:i,s:n,s:o,s:o,s:O*}", "key", field_text(row, "key"),
                   "label", field_text(row, "label"), "paper",
                   paper ? json_incref((json_t *)(uintptr_t)paper) : json_null(), "mean", "sd", "n",
                   0, "status", "paper_word", text_or_null(field_text(row, "word")), "printed",
                   printed(row, columns), "counted", counted);
}

static json_t *json_columns(const json_t *columns) {
  json_t *list = json_array();
  const json_t *column;
  size_t k;
  json_array_foreach((json_t *)(uintptr_t)columns, k, column) json_array_append_new(
      list, json_pack("{s:s,s:o,s:o,s:o}", "name", field_text(column, "name"), "group",
                      text_or_null(field_text(column, "group")), "structure",
                      text_or_null(field_text(column, "structure")), "unit",
                      text_or_null(field_text(column, "unit"))));
  return list;
}

static json_t *json_contradictions(const json_t *table) {
  json_t *list = list_of(table, "contradictions"), *copy = json_array(), *item;
  size_t i;
  json_array_foreach(list, i, item) json_array_append_new(
      copy, json_pack("{s:o,s:s,s:o}", "mark", text_or_null(field_text(item, "mark")), "text",
                      field_text(item, "text"), "at", list_of(item, "at")));
  json_decref(list);
  return copy;
}

json_t *paper_json(const json_t *table, const json_t *runs) {
  const json_t *columns = json_object_get(table, "columns"), *row;
  const json_t *main = json_array_get(columns, (size_t)field_whole(table, "main"));
  json_t *rows = json_array();
  char name[COLUMN_NAME];
  size_t i;
  json_array_foreach(json_object_get(table, "rows"), i, row)
      json_array_append_new(rows, json_row(row, columns));
  return document_make("paper_table", (DocumentOf){0},
                       json_pack("{s:i,s:n,s:n,s:n,s:o,s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o}",
                                 "table", field_whole(table, "table"), "scale", "dataset", "device",
                                 "rows", rows, "paper", field_text(table, "paper"), "name",
                                 field_text(table, "name"), "title", field_text(table, "title"),
                                 "data", field_text(table, "data"), "main",
                                 paper_column(main, name), "columns", json_columns(columns),
                                 "contradictions", json_contradictions(table), "notes",
                                 list_of(table, "notes"), "runs", paper_runs_of(runs, table)));
}
