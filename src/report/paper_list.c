/* All papers' tables, a line each. */
#include <stdint.h>
#include <string.h>

#include "src/machine/document.h"
#include "src/report/paper_runs.h"
#include "src/report/paper_table.h"
#include "src/report/quote.h"
#include "src/store/field.h"

enum { WIDTH = 80 };

static int count_of(const json_t *table, const char *key) {
  return (int)json_array_size(json_object_get(table, key));
}

/* "experiments/comparison.lua" and of how many rows, or that there is none. */
static void put_runs(Sheet *sheet, int line, const json_t *table, const json_t *runs) {
  json_t *own = paper_runs_of(runs, table);
  const json_t *first = json_array_get(own, 0);
  size_t more = json_array_size(own);
  sheet_set(sheet, line, 4, "%d", first ? field_whole(first, "rows") : 0);
  if (!first)
    sheet_set(sheet, line, 5, "paper's numbers only");
  else if (more > 1)
    sheet_set(sheet, line, 5, "%s +%d", field_text(first, "experiment"), (int)more - 1);
  else
    sheet_set(sheet, line, 5, "%s", field_text(first, "experiment"));
  json_decref(own);
}

static void print_paper(const json_t *paper, const json_t *runs, FILE *out) {
  static const char *const heads[] = {"N", "table", "rows", "columns", "we run", "runs"};
  enum { HEADS = sizeof heads / sizeof *heads };
  char head[128];
  if (json_object_get(paper, "error")) {
    quote_wrapped("", "  ", field_text(paper, "error"), WIDTH, out);
    return;
  }
  snprintf(head, sizeof head, "%s: ", field_text(paper, "paper"));
  quote_wrapped(head, "  ", field_text(paper, "title"), WIDTH, out);
  quote_wrapped("  ", "  ", field_text(paper, "source"), WIDTH, out);
  Sheet sheet = sheet_make(count_of(paper, "tables") + 1, HEADS);
  for (int k = 0; k < HEADS; k++) sheet_set(&sheet, 0, k, "%s", heads[k]);
  const json_t *table;
  size_t i;
  json_array_foreach(json_object_get(paper, "tables"), i, table) {
    int line = (int)i + 1;
    sheet_set(&sheet, line, 0, "%d", field_whole(table, "table"));
    sheet_set(&sheet, line, 1, "%s", field_text(table, "title"));
    sheet_set(&sheet, line, 2, "%d", count_of(table, "rows"));
    sheet_set(&sheet, line, 3, "%d", count_of(table, "columns"));
    put_runs(&sheet, line, table, runs);
  }
  fputc('\n', out);
  sheet_blocks(&sheet, NULL, WIDTH, out);
  sheet_free(&sheet);
}

static json_t *json_table(const json_t *table, const json_t *runs) {
  json_t *names = json_array(), *column;
  size_t k;
  json_array_foreach(json_object_get(table, "columns"), k, column) {
    char name[COLUMN_NAME];
    json_array_append_new(names, json_string(paper_column(column, name)));
  }
  return json_pack("{s:i,s:s,s:s,s:i,s:o,s:o}", "table", field_whole(table, "table"), "title",
                   field_text(table, "title"), "data", field_text(table, "data"), "rows",
                   count_of(table, "rows"), "columns", names, "runs", paper_runs_of(runs, table));
}

static json_t *json_paper(const json_t *paper, const json_t *runs) {
  if (json_object_get(paper, "error")) return json_deep_copy(paper);
  json_t *tables = json_array(), *table;
  size_t i;
  json_array_foreach(json_object_get(paper, "tables"), i, table)
      json_array_append_new(tables, json_table(table, runs));
  return json_pack("{s:s,s:s,s:s,s:s,s:o}", "paper", field_text(paper, "paper"), "name",
                   field_text(paper, "name"), "title", field_text(paper, "title"), "source",
                   field_text(paper, "source"), "tables", tables);
}

void papers_print(const json_t *papers, const char *name, const json_t *runs, const char *format,
                  FILE *out) {
  bool as_json = !strcmp(format, "json"), first = true;
  json_t *list = json_array();
  const json_t *paper;
  size_t i;
  json_array_foreach((json_t *)(uintptr_t)papers, i, paper) {
    if (name && strcmp(field_text(paper, "paper"), name) != 0) continue;
    if (!first && !as_json) fputc('\n', out);
    first = false;
    if (as_json)
      json_array_append_new(list, json_paper(paper, runs));
    else
      print_paper(paper, runs, out);
  }
  json_t *document = document_make("papers", (DocumentOf){0}, json_pack("{s:o}", "papers", list));
  if (as_json)
    document_print(document, out);
  else
    json_decref(document);
}
