#include "src/store/typed_rows.h"

#include <math.h>
#include <stdlib.h>

static void read_column(const json_t *value, const Column *column, void *row) {
  char *field = (char *)row + column->offset;
  const char *text = json_string_value(value);
  if (column->kind == COLUMN_TEXT) *(const char **)field = text ? text : "";
  if (column->kind == COLUMN_INT) *(int *)field = (int)json_integer_value(value);
  if (column->kind == COLUMN_LONG) *(int64_t *)field = json_integer_value(value);
  if (column->kind == COLUMN_NUMBER)
    *(double *)field = json_is_number(value) ? json_number_value(value) : NAN;
}

void row_read(const json_t *object, const Column *columns, void *row) {
  for (const Column *c = columns; c->name; c++)
    read_column(json_object_get(object, c->name), c, row);
}

/* The program's tables keep other kinds out; another program may have changed the file. */
static bool check_kinds(Store *store, const json_t *object, const Column *columns, Error *error) {
  for (const Column *c = columns; c->name; c++) {
    const json_t *value = json_object_get(object, c->name);
    if (!json_is_null(value) && json_is_string(value) != (c->kind == COLUMN_TEXT))
      return fail(error, "%s: damaged: %s holds %s" STORE_CHANGED, store_path(store), c->name,
                  json_is_string(value) ? "a text, not a number" : "a number, not a text");
  }
  return true;
}

static void check_columns(const json_t *object, const Column *columns) {
  size_t known = 0;
  for (const Column *c = columns; c->name; c++, known++)
    CHECK(json_object_get(object, c->name), "the query has no column %s", c->name);
  CHECK(known == json_object_size(object), "the query has %zu columns, %zu are read",
        json_object_size(object), known);
}

bool store_rows(Store *store, const char *sql, json_t *parameters, const Column *columns,
                size_t bytes, Rows *rows, Error *error) {
  *rows = (Rows){0};
  bool good = store_query(store, sql, parameters, &rows->texts, error);
  json_decref(parameters);
  if (!good) return false;
  rows->count = (int)json_array_size(rows->texts);
  rows->row = calloc((size_t)rows->count + 1, bytes);
  CHECK(rows->row, "no memory for %d rows", rows->count);
  for (int i = 0; good && i < rows->count; i++) {
    const json_t *object = json_array_get(rows->texts, (size_t)i);
    if (i == 0) check_columns(object, columns);
    good = check_kinds(store, object, columns, error);
    row_read(object, columns, (char *)rows->row + (size_t)i * bytes);
  }
  if (!good) rows_free(rows);
  return good;
}

bool store_row(Store *store, const char *sql, json_t *parameters, const Column *columns, void *row,
               json_t **texts, Error *error) {
  bool good = store_query(store, sql, parameters, texts, error);
  json_decref(parameters);
  if (!good) *texts = NULL;
  const json_t *first = json_array_get(*texts, 0);
  if (first) {
    check_columns(first, columns);
    good = check_kinds(store, first, columns, error);
  }
  if (first && good) {
    row_read(first, columns, row);
  } else {
    json_decref(*texts);
    *texts = NULL;
  }
  return good;
}

void rows_free(Rows *rows) {
  free(rows->row);
  json_decref(rows->texts);
  *rows = (Rows){0};
}
