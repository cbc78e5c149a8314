#include "src/report/paper_table.h"

#include <stdlib.h>
#include <string.h>

#include "src/machine/document.h"
#include "src/report/paper_runs.h"
#include "src/report/quote.h"
#include "src/store/field.h"

enum { WIDTH = 80 };

static int count_of(const json_t *table, const char *key) {
  return (int)json_array_size(json_object_get(table, key));
}

static const json_t *item_of(const json_t *object, const char *key, int i) {
  return json_array_get(json_object_get(object, key), (size_t)i);
}

const char *paper_column(const json_t *column, char name[COLUMN_NAME]) {
  const char *group = field_text(column, "group");
  snprintf(name, COLUMN_NAME, "%s%s%s", group, group[0] ? " " : "", field_text(column, "name"));
  return name;
}

/* ---- what our rows cost ---------------------------------------------------------------------- */

/* Whether a column of ours stands behind this one: it is of what was counted of some row. */
static bool has_ours(const json_t *table, int k) {
  const char *cost = field_text(item_of(table, "columns", k), "cost");
  bool any = false;
  for (int i = 0; i < count_of(table, "rows"); i++)
    any = any || json_object_get(json_object_get(item_of(table, "rows", i), "counted"), cost);
  return any;
}

static int count_ours(const json_t *table) {
  int count = 0;
  for (int k = 0; k < count_of(table, "columns"); k++) count += has_ours(table, k);
  return count;
}

static void put_ours(Sheet *sheet, int at, const json_t *table, int k) {
  const json_t *column = item_of(table, "columns", k);
  const char *cost = field_text(column, "cost"), *unit = field_text(column, "unit");
  double one = !strcmp(unit, "M") ? 1e6 : !strcmp(unit, "G") ? 1e9 : 1;
  for (int i = 0; i < count_of(table, "rows"); i++) {
    const json_t *found =
        json_object_get(json_object_get(item_of(table, "rows", i), "counted"), cost);
    if (found)
      sheet_set(sheet, i + 1, at, "%.*f", field_whole(column, "digits"),
                json_number_value(found) / one);
    else
      sheet_set(sheet, i + 1, at, "-");
  }
}

/* ---- sheet ----------------------------------------------------------------------------------- */

static void put_cells(Sheet *sheet, int at, const json_t *table, int k) {
  for (int i = 0; i < count_of(table, "rows"); i++) {
    const json_t *row = item_of(table, "rows", i);
    sheet_set(sheet, i + 1, at, "%s%s", json_string_value(item_of(row, "cells", k)),
              json_string_value(item_of(row, "marks", k)));
  }
}

/* A column's head names its group, too. */
Sheet paper_sheet(const json_t *table) {
  int rows = count_of(table, "rows"), columns = count_of(table, "columns"), at = 1;
  Sheet sheet = sheet_make(rows + 1, columns + count_ours(table) + 1);
  sheet_set(&sheet, 0, 0, "%s", field_text(table, "axis"));
  for (int i = 0; i < rows; i++) {
    const json_t *row = item_of(table, "rows", i);
    sheet_set(&sheet, i + 1, 0, "%s%s", field_text(row, "label"), field_text(row, "mark"));
  }
  for (int k = 0; k < columns; k++) {
    char name[COLUMN_NAME];
    const json_t *column = item_of(table, "columns", k);
    sheet_set(&sheet, 0, at, "%s%s", paper_column(column, name), field_text(column, "mark"));
    put_cells(&sheet, at++, table, k);
    if (!has_ours(table, k)) continue;
    sheet_set(&sheet, 0, at, "%s, ours", name);
    put_ours(&sheet, at++, table, k);
  }
  return sheet;
}

/* Heads without the groups, which stand above; of what we count, too, the column is the group. */
static Sheet text_sheet(const json_t *table, char (*group)[COLUMN_NAME]) {
  Sheet sheet = paper_sheet(table);
  for (int k = 0, at = 1; k < count_of(table, "columns"); k++, at++) {
    const json_t *column = item_of(table, "columns", k);
    const char *name = field_text(column, "name"), *mark = field_text(column, "mark");
    bool ours = has_ours(table, k);
    snprintf(group[at], COLUMN_NAME, "%s%s", ours ? name : field_text(column, "group"),
             ours ? mark : "");
    sheet_set(&sheet, 0, at, "%s%s", ours ? "paper" : name, ours ? "" : mark);
    if (!ours) continue;
    memcpy(group[at + 1], group[at], COLUMN_NAME);
    sheet_set(&sheet, 0, ++at, "ours");
  }
  return sheet;
}

/* ---- notes ----------------------------------------------------------------------------------- */

typedef void PutNote(const char *mark, const char *text, FILE *out);

static void put_line(const char *mark, const char *text, FILE *out) {
  fputs(mark, out);
  quote_line(text, out);
  fputc('\n', out);
}

static void put_wrapped(const char *mark, const char *text, FILE *out) {
  quote_wrapped(mark, "      ", text, WIDTH, out);
}

/* "runs: experiments/comparison.lua (4 of 10 rows)" */
static void note_runs(const json_t *table, const json_t *runs, const char *mark, PutNote *put,
                      FILE *out) {
  json_t *own = paper_runs_of(runs, table), *run;
  size_t i;
  json_array_foreach(own, i, run) {
    char text[512];
    snprintf(text, sizeof text, "runs: %.400s (%d of %d rows)", field_text(run, "experiment"),
             field_whole(run, "rows"), count_of(table, "rows"));
    put(mark, text, out);
  }
  if (!json_array_size(own)) put(mark, "paper's numbers only: no experiment here repeats it", out);
  json_decref(own);
}

static void put_notes(const json_t *table, const json_t *runs, bool beside, const char *mark,
                      PutNote *put, FILE *out) {
  const char *legend = field_text(table, "legend");
  const json_t *item;
  size_t i;
  if (legend[0]) put(mark, legend, out);
  json_array_foreach(json_object_get(table, "contradictions"), i, item) {
    const char *own = field_text(item, "mark"), *text = field_text(item, "text");
    size_t bytes = strlen(own) + strlen(text) + 2;
    char *marked = malloc(bytes);
    CHECK(marked, "no memory for a note");
    snprintf(marked, bytes, "%s%s%s", own, own[0] ? " " : "", text);
    put(mark, marked, out);
    free(marked);
  }
  if (!beside)
    json_array_foreach(json_object_get(table, "notes"), i, item)
        put(mark, json_string_value(item), out);
  if (count_ours(table))
    put(mark, "ours: counted of our rows at scale=paper; multiply-adds of one image's inference",
        out);
  note_runs(table, runs, mark, put, out);
}

void paper_notes(const json_t *table, const json_t *runs, const char *mark, FILE *out) {
  put_notes(table, runs, false, mark, put_line, out);
}

/* ---- formats --------------------------------------------------------------------------------- */

static void put_title(const json_t *table, const char *gap, FILE *out) {
  fprintf(out, "Table %s  ", field_text(table, "numeral"));
  quote_line(field_text(table, "title"), out);
  fputs(gap, out);
  quote_line(field_text(table, "name"), out);
}

static void print_text(const json_t *table, const json_t *runs, bool beside, FILE *out) {
  int columns = count_of(table, "columns") + count_ours(table) + 1;
  char names[columns][COLUMN_NAME];
  const char *group[columns];
  names[0][0] = 0;
  for (int k = 0; k < columns; k++) group[k] = names[k];
  put_title(table, "        ", out);
  fputc('\n', out);
  quote_wrapped("", "", field_text(table, "data"), WIDTH, out);
  fputc('\n', out);
  Sheet sheet = text_sheet(table, names);
  sheet_blocks(&sheet, group, WIDTH, out);
  sheet_free(&sheet);
  fputc('\n', out);
  put_notes(table, runs, beside, "  ", put_wrapped, out);
}

static void put_markdown(const char *mark, const char *text, FILE *out) {
  fputs(mark, out);
  quote_markdown(text, out);
  fputc('\n', out);
}

static void print_markdown(const json_t *table, const json_t *runs, bool beside, FILE *out) {
  fprintf(out, "**Table %s  ", field_text(table, "numeral"));
  quote_markdown(field_text(table, "title"), out);
  fputs(", ", out);
  quote_markdown(field_text(table, "name"), out);
  put_markdown("**  \n", field_text(table, "data"), out);
  fputc('\n', out);
  Sheet sheet = paper_sheet(table);
  sheet_markdown(&sheet, false, out);
  sheet_free(&sheet);
  fputc('\n', out);
  put_notes(table, runs, beside, "- ", put_markdown, out);
}

static void print_tex(const json_t *table, const json_t *runs, bool beside, FILE *out) {
  fputs("% needs \\usepackage{booktabs}\n% ", out);
  put_title(table, "; ", out);
  put_line("\n% ", field_text(table, "data"), out);
  put_notes(table, runs, beside, "% ", put_line, out);
  Sheet sheet = paper_sheet(table);
  sheet_tex(&sheet, false, out);
  sheet_free(&sheet);
}

/* Figures as printed, without marks; "paper" is that of the main column as a share of 1. */
static void print_csv(const json_t *table, FILE *out) {
  enum { FIRST = 3 };
  int rows = count_of(table, "rows"), columns = count_of(table, "columns");
  Sheet sheet = sheet_make(rows + 1, columns + FIRST);
  static const char *const heads[FIRST] = {"key", "label", "paper"};
  for (int k = 0; k < FIRST; k++) sheet_set(&sheet, 0, k, "%s", heads[k]);
  for (int k = 0; k < columns; k++) {
    char name[COLUMN_NAME];
    sheet_set(&sheet, 0, FIRST + k, "%s", paper_column(item_of(table, "columns", k), name));
  }
  for (int i = 0; i < rows; i++) {
    const json_t *row = item_of(table, "rows", i), *paper = json_object_get(row, "paper");
    sheet_set(&sheet, i + 1, 0, "%s", field_text(row, "key"));
    sheet_set(&sheet, i + 1, 1, "%s", field_text(row, "label"));
    if (json_is_number(paper)) sheet_set(&sheet, i + 1, 2, "%.12g", json_number_value(paper));
    for (int k = 0; k < columns; k++)
      if (!json_is_false(item_of(row, "values", k)))
        sheet_set(&sheet, i + 1, FIRST + k, "%s", json_string_value(item_of(row, "cells", k)));
  }
  sheet_csv(&sheet, out);
  sheet_free(&sheet);
}

void paper_print(const json_t *table, const json_t *runs, bool beside, const char *format,
                 FILE *out) {
  if (!strcmp(format, "json")) {
    document_print(paper_json(table, runs), out);
  } else if (!strcmp(format, "csv")) {
    print_csv(table, out);
  } else {
    (!strcmp(format, "md")    ? print_markdown
     : !strcmp(format, "tex") ? print_tex
                              : print_text)(table, runs, beside, out);
  }
}
