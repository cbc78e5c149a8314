#include "src/report/table_macros.h"

#include <math.h>
#include <string.h>

#include "src/report/table.h"

/* What TeX would read in a name or a text is written as -. */
static void put_name(const char *text, FILE *out) {
  for (; *text; text++) fputc(strchr("\\{}%#$^~&", *text) || *text < ' ' ? '-' : *text, out);
}

static void put_macro(const Result *result, const ResultRow *row, const char *field,
                      const char *value, FILE *out) {
  fputs("\\expandafter\\def\\csname harness@", out);
  put_name(result->experiment, out);
  fputc('@', out);
  put_name(row->key, out);
  fprintf(out, "@%s\\endcsname{", field);
  put_name(value, out);
  fputs("}\n", out);
}

static void put_number(const Result *result, const ResultRow *row, const char *field,
                       const char *format, double value, FILE *out) {
  char text[64];
  if (isnan(value)) return;
  snprintf(text, sizeof text, format, value);
  put_macro(result, row, field, text, out);
}

static void put_row(const Result *result, const ResultRow *row, FILE *out) {
  put_macro(result, row, "label", row->label, out);
  put_number(result, row, "paper", "%.3f", row->paper, out);
  put_number(result, row, "mean", "%.3f", row->mean, out);
  put_number(result, row, "sd", "%.3f", row->sd, out);
  put_number(result, row, "n", "%.0f", row->n, out);
  put_number(result, row, "parameters", "%.0f", row->parameters, out);
  put_number(result, row, "difference", "%+.3f", row->difference, out);
  put_number(result, row, "low", "%+.3f", row->low, out);
  put_number(result, row, "high", "%+.3f", row->high, out);
  put_number(result, row, "p", "%.3f", row->p_corrected, out);
  if (row->verdict[0]) put_macro(result, row, "verdict", row->verdict, out);
}

void table_macros(const Result *result, FILE *out) {
  fputs("% ", out);
  table_head(result, "; ", out);
  fputs(
      "% \\harness{experiment}{row}{mean}, and in place of mean: label, paper, sd, n, parameters,\n"
      "% difference, low, high, p, verdict\n"
      "\\providecommand{\\harness}[3]{\\ifcsname harness@#1@#2@#3\\endcsname\n"
      "  \\csname harness@#1@#2@#3\\endcsname\\else\\textbf{??}\\fi}\n",
      out);
  for (int i = 0; i < result->rows; i++) put_row(result, &result->row[i], out);
}
