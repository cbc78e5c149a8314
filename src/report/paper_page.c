/* The papers' tables in the report. */
#include <stdlib.h>

#include "lua/bind.h"
#include "src/report/html.h"
#include "src/report/paper_runs.h"
#include "src/report/paper_table.h"
#include "src/report/report.h"
#include "src/store/field.h"

static void put_table(const json_t *table, const json_t *runs, FILE *out) {
  char *notes = NULL;
  size_t bytes = 0;
  FILE *memory = open_memstream(&notes, &bytes);
  CHECK(memory, "no memory for notes");
  paper_notes(table, runs, "", memory);
  CHECK(fclose(memory) == 0 && notes, "no memory for notes");
  fputs("<details><summary>", out);
  html_print(out, "Table %s: %s (%s)", field_text(table, "numeral"), field_text(table, "title"),
             field_text(table, "data"));
  fputs("</summary>\n", out);
  Sheet sheet = paper_sheet(table);
  html_sheet(&sheet, false, out);
  sheet_free(&sheet);
  html_lines(notes, out);
  fputs("</details>\n", out);
  free(notes);
}

bool papers_write(Report *report, Error *error) {
  FILE *out = report->out;
  json_t *papers = papers_listed(report->home, error), *runs = paper_runs(report->home, NULL);
  const json_t *paper, *table;
  size_t i, k;
  json_array_foreach(papers, i, paper) {
    if (json_object_get(paper, "error")) continue;
    fputs("<h3>", out);
    html_text(field_text(paper, "title"), out);
    fputs("</h3>\n<p class=\"faint\">", out);
    html_text(field_text(paper, "source"), out);
    fputs("</p>\n", out);
    json_array_foreach(json_object_get(paper, "tables"), k, table) put_table(table, runs, out);
  }
  bool good = papers != NULL;
  json_decref(papers);
  json_decref(runs);
  return good;
}
