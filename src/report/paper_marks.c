#include "src/report/paper_marks.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "lua/bind.h"
#include "src/report/paper_table.h"
#include "src/store/field.h"

void paper_find(const char *home, Result *r) {
  bool dice = !strcmp(r->metric, "dice");
  if (home && dice && r->table && r->model[0]) r->paper = paper_of_name(home, r->model, r->table);
}

static const json_t *row_called(const Result *r, const char *key) {
  const json_t *row;
  size_t i;
  json_array_foreach(json_object_get(r->paper, "rows"), i,
                     row) if (!strcmp(field_text(row, "key"), key)) return row;
  return NULL;
}

/* A data set's name of a structure as the paper's columns have it. */
static const char *plain(const Result *r, const char *name, char text[256]) {
  size_t length = 0;
  for (; *name && length < 255; name++)
    text[length++] = strchr("_- ", *name) ? ' ' : (char)tolower((unsigned char)*name);
  text[length] = 0;
  const char *same = json_string_value(json_object_get(json_object_get(r->paper, "same"), text));
  return same ? same : text;
}

/* Its position among the columns, -1: none is of this structure. */
static int column_of(const Result *r, const char *structure) {
  char text[256];
  const char *wanted = plain(r, structure, text);
  const json_t *column;
  size_t k;
  json_array_foreach(json_object_get(r->paper, "columns"), k,
                     column) if (wanted[0] &&
                                 !strcmp(field_text(column, "structure"), wanted)) return (int)k;
  return -1;
}

double paper_figure(const Result *r, const ResultRow *row, const char *structure) {
  int column = column_of(r, structure);
  const json_t *line = column >= 0 ? row_called(r, row->key) : NULL;
  const json_t *share = json_array_get(json_object_get(line, "shares"), (size_t)column);
  return json_is_number(share) ? json_number_value(share) : NAN;
}

static bool is_told(const Result *r, const json_t *contradiction) {
  size_t i;
  const json_t *note;
  json_array_foreach(
      r->notes, i, note) if (json_equal(note, json_object_get(contradiction, "text"))) return true;
  return false;
}

/* The contradiction is at this row, in this column or in none of its own. */
static bool is_at(const json_t *contradiction, const char *key, const char *column) {
  const json_t *at;
  size_t i;
  json_array_foreach(json_object_get(contradiction, "at"), i, at) {
    const char *row = json_string_value(json_object_get(at, "row"));
    const char *name = json_string_value(json_object_get(at, "column"));
    if (row && !strcmp(row, key) && (!name || !strcmp(name, column))) return true;
  }
  return false;
}

const char *paper_marks(const Result *r, const ResultRow *row, const char *structure,
                        char text[PAPER_MARKS]) {
  int column = structure ? column_of(r, structure) : -1;
  const json_t *columns = json_object_get(r->paper, "columns"), *line = row_called(r, row->key);
  text[0] = 0;
  if (!line || (structure && column < 0)) return text;
  if (!structure) column = field_whole(r->paper, "main");
  double share = json_number_value(json_array_get(json_object_get(line, "shares"), (size_t)column));
  if (!structure && fabs(share - row->paper) > 1e-9)
    return text; /* of another figure than today's */
  char full[COLUMN_NAME];
  const char *name = paper_column(json_array_get(columns, (size_t)column), full);
  const json_t *item;
  size_t i, used = 0;
  json_array_foreach(json_object_get(r->paper, "contradictions"), i,
                     item) if (used < PAPER_MARKS - 8 && is_at(item, row->key, name) &&
                               is_told(r, item)) used +=
      (size_t)snprintf(text + used, PAPER_MARKS - used, "%.7s", field_text(item, "mark"));
  return text;
}

const char *paper_note_mark(const Result *r, const char *note) {
  const json_t *item;
  size_t i;
  json_array_foreach(json_object_get(r->paper, "contradictions"), i,
                     item) if (!strcmp(field_text(item, "text"), note)) return field_text(item,
                                                                                          "mark");
  return "";
}

bool paper_wider(const Result *r) {
  return json_array_size(json_object_get(r->paper, "columns")) > 1;
}
