#include "src/report/table.h"
#include "src/data/metrics/metric.h"
#include "src/data/sets/json_text.h"
#include "src/data/sets/split.h"

#include <math.h>
#include <string.h>

#include "src/report/claim.h"
#include "src/report/claim_notes.h"
#include "src/report/code_notes.h"
#include "src/report/coverage.h"
#include "src/report/default_notes.h"
#include "src/report/paper_marks.h"
#include "src/report/quote.h"
#include "src/report/self_test.h"
#include "src/report/start_notes.h"
#include "src/report/table_data.h"
#include "src/report/table_macros.h"
#include "src/report/tuned_notes.h"
#include "src/report/wrap.h"
#include "src/report/written.h"

const char *const table_formats[] = {"text", "md", "csv", "json", "tex", "macros"};

/* Three decimals, four where the paper gives four. */
static void put_figure(Sheet *sheet, int row, int column, double value) {
  double rest = isnan(value) ? 0 : value * 1000 - (double)(long)(value * 1000 + 0.5);
  if (isnan(value))
    sheet_set(sheet, row, column, "-");
  else
    sheet_set(sheet, row, column, rest > 0.01 || rest < -0.01 ? "%.4f" : "%.3f", value);
}

/* "done", or how many ended in which way: "2 done, 1 collapsed". */
static void put_status(Sheet *sheet, int row, int column, const ResultRow *line) {
  char words[SHEET_CELL] = "";
  int kinds = 0;
  for (int i = 0; i < STATUS_COUNT; i++) {
    if (line->status[i] == 0) continue;
    size_t used = strlen(words);
    snprintf(words + used, sizeof words - used, "%s%d %s", kinds++ ? ", " : "", line->status[i],
             status_name((Status)i));
  }
  sheet_set(sheet, row, column, "%s", kinds > 1 ? words : result_status(line));
}

/* 0.123456e6 -> "0.123 M". */
static void put_count(Sheet *sheet, int row, int column, double value) {
  if (isnan(value))
    sheet_set(sheet, row, column, "-");
  else if (value < 10000)
    sheet_set(sheet, row, column, "%.0f", value);
  else
    sheet_set(sheet, row, column, value < 1e7 ? "%.3f M" : "%.1f M", value / 1e6);
}

static void put_signed(Sheet *sheet, int row, int column, double value) {
  sheet_set(sheet, row, column, isnan(value) ? "-" : "%+.3f", value);
}

static void put_interval(Sheet *sheet, int row, int column, double low, double high) {
  if (isnan(low))
    sheet_set(sheet, row, column, "-");
  else
    sheet_set(sheet, row, column, "[%+.3f, %+.3f]", low, high);
}

static void put_p(Sheet *sheet, int row, int column, double p) {
  if (isnan(p))
    sheet_set(sheet, row, column, "-");
  else
    sheet_set(sheet, row, column, p < 0.0005 ? "<.001" : "%.3f", p);
}

static void put_measured(Sheet *sheet, int row, int column, const ResultRow *line) {
  if (!isnan(line->sd))
    sheet_set(sheet, row, column, "%.3f ± %.3f", line->mean, line->sd);
  else if (!isnan(line->mean))
    sheet_set(sheet, row, column, "%.3f", line->mean);
  else
    sheet_set(sheet, row, column, line->status[STATUS_COLLAPSED] ? "collapsed" : "-");
}

/* ---- columns --------------------------------------------------------------------------------- */

static void put_label(Sheet *sheet, int row, int column, const ResultRow *line) {
  sheet_set(sheet, row, column, "%s", line->label);
}

static void put_paper(Sheet *sheet, int row, int column, const ResultRow *line) {
  if (line->paper_word[0])
    sheet_set(sheet, row, column, "%s", line->paper_word);
  else
    put_figure(sheet, row, column, line->paper);
}

/* Marks of contradictions behind the paper's figures, which stay below each other. */
static void add_marks(Sheet *sheet, int column, const Result *result) {
  char marks[PAPER_MARKS];
  int widest = 0;
  for (int i = 0; i < result->rows; i++) {
    int length = (int)strlen(paper_marks(result, &result->row[i], NULL, marks));
    if (length > widest) widest = length;
  }
  for (int i = 0; i < result->rows && widest; i++) {
    char cell[SHEET_CELL];
    snprintf(cell, sizeof cell, "%.80s", sheet_get(sheet, i + 1, column));
    paper_marks(result, &result->row[i], NULL, marks);
    sheet_set(sheet, i + 1, column, "%s%-*s", cell, widest, marks);
  }
}

static void put_n(Sheet *sheet, int row, int column, const ResultRow *line) {
  sheet_set(sheet, row, column, "%d", line->n);
}

static void put_against(Sheet *sheet, int row, int column, const ResultRow *line) {
  sheet_set(sheet, row, column, "%s", line->against_label);
}

static void put_claimed(Sheet *sheet, int row, int column, const ResultRow *line) {
  put_signed(sheet, row, column, line->claimed);
}

static void put_difference(Sheet *sheet, int row, int column, const ResultRow *line) {
  put_signed(sheet, row, column, line->difference);
}

static void put_alone(Sheet *sheet, int row, int column, const ResultRow *line) {
  put_interval(sheet, row, column, line->low, line->high);
}

static void put_corrected(Sheet *sheet, int row, int column, const ResultRow *line) {
  put_interval(sheet, row, column, line->corrected_low, line->corrected_high);
}

static void put_p_corrected(Sheet *sheet, int row, int column, const ResultRow *line) {
  put_p(sheet, row, column, line->p_corrected);
}

static void put_verdict(Sheet *sheet, int row, int column, const ResultRow *line) {
  if (isnan(line->within))
    sheet_set(sheet, row, column, "%s", line->verdict[0] ? line->verdict : "-");
  else
    sheet_set(sheet, row, column, "%s, within %.3f", line->verdict, line->within);
}

static void put_parameters(Sheet *sheet, int row, int column, const ResultRow *line) {
  put_count(sheet, row, column, line->parameters);
}

/* In text the figures and the claims are two tables, for narrow screens. A table that asks without
 * the paper has no column of it, and who is compared with whom has one where neither the row above
 * nor one row is for all. */
typedef enum ColumnNeed { NEED_NOTHING, NEED_PAPER, NEED_NAMES } ColumnNeed;
typedef struct TableColumn {
  const char *head, *whole; /* whole: in one table; NULL: the same. %s: the metric, the compared */
  void (*put)(Sheet *sheet, int row, int column, const ResultRow *line);
  bool figures, claims;
  ColumnNeed need;
} TableColumn;

static const TableColumn table_columns[] = {
    {NULL, NULL, put_label, true, true, NEED_NOTHING},
    {"paper %s", NULL, put_paper, true, false, NEED_PAPER},
    {"measured %s (mean ± sd)", NULL, put_measured, true, false, NEED_NOTHING},
    {"n", NULL, put_n, true, false, NEED_NOTHING},
    {"against", NULL, put_against, false, true, NEED_NAMES},
    {"paper", "paper's difference", put_claimed, false, true, NEED_PAPER},
    {"ours", "to %s", put_difference, false, true, NEED_NOTHING},
    {"[95 %%]", NULL, put_alone, false, true, NEED_NOTHING},
    {"corrected", "[95 %%] corrected", put_corrected, false, true, NEED_NOTHING},
    {"p", NULL, put_p_corrected, false, true, NEED_NOTHING},
    {"verdict", NULL, put_verdict, false, true, NEED_NOTHING},
    {"parameters", NULL, put_parameters, true, false, NEED_NOTHING},
    {"status", NULL, put_status, true, false, NEED_NOTHING}};
enum { TABLE_COLUMNS = sizeof table_columns / sizeof *table_columns };

/* The paper has a figure of some row, or there is nothing that is asked without it. */
static bool any_paper(const Result *result) {
  bool any = result->family.questions == 0;
  for (int i = 0; i < result->rows; i++)
    any = any || !isnan(result->row[i].paper) || result->row[i].paper_word[0];
  return any;
}

static bool has_column(const Result *result, const TableColumn *column, TablePart part) {
  if (column->need == NEED_PAPER && !any_paper(result)) return false;
  if (column->need == NEED_NAMES && result_compares(result) != COMPARES_SEVERAL) return false;
  return part == TABLE_WHOLE || (part == TABLE_FIGURES ? column->figures : column->claims);
}

static void put_head(Sheet *sheet, int at, const TableColumn *column, TablePart part,
                     const Result *result) {
  bool whole = part == TABLE_WHOLE && column->whole;
  if (column->head)
    sheet_set(sheet, 0, at, whole ? column->whole : column->head,
              column->put == put_difference ? result_compared(result)
                                            : result_metric(result, (char[RESULT_METRIC]){""}));
  else if (part == TABLE_CLAIMS)
    sheet_set(sheet, 0, at, "row");
  else
    sheet_set(sheet, 0, at, "%s", result->axis[0] ? result->axis : "variant");
}

/* A row that is compared with none may claim a collapse. */
static bool in_claims(const Result *result, int i) {
  return result->row[i].against >= 0 || result->row[i].verdict[0];
}

static bool any_difference(const Result *result) {
  for (int i = 0; i < result->rows; i++)
    if (!isnan(result->row[i].difference) || result->row[i].verdict[0]) return true;
  return false;
}

Sheet table_sheet(const Result *result, TablePart part) {
  if (part == TABLE_WHOLE && !any_difference(result)) part = TABLE_FIGURES;
  int columns = 0, lines = 1, at = 0;
  for (int k = 0; k < TABLE_COLUMNS; k++) columns += has_column(result, &table_columns[k], part);
  for (int i = 0; i < result->rows; i++) lines += part != TABLE_CLAIMS || in_claims(result, i);
  Sheet sheet = sheet_make(lines, columns);
  for (int k = 0; k < TABLE_COLUMNS; k++) {
    const TableColumn *column = &table_columns[k];
    int line = 1;
    if (!has_column(result, column, part)) continue;
    put_head(&sheet, at, column, part, result);
    for (int i = 0; i < result->rows; i++)
      if (part != TABLE_CLAIMS || in_claims(result, i))
        column->put(&sheet, line++, at, &result->row[i]);
    if (column->put == put_paper) add_marks(&sheet, at, result);
    at++;
  }
  sheet_drop_empty(&sheet);
  return sheet;
}

void table_head(const Result *result, const char *gap, FILE *out) {
  if (result->table) fprintf(out, "Table %d  ", result->table);
  quote_line(result->title, out);
  fputs(gap, out);
  quote_line(result->model, out);
  fputs(result->model[0] ? ", scale " : "scale ", out);
  quote_line(result->scale, out);
  fputs(", ", out);
  quote_line(result->dataset, out);
  fprintf(out, ", %s, %d seed%s", result->device, result->seeds, result->seeds == 1 ? "" : "s");
  if (result->folds > 1) fprintf(out, " x %d folds", result->folds);
  if (!strcmp(result->split, SPLIT_KFOLD)) fputs(", nnU-Net's folds", out);
  if (result->trainings < result->scores)
    fprintf(out, ", %d scores of %d training%s", result->scores, result->trainings,
            result->trainings == 1 ? "" : "s");
  fputc('\n', out);
}

static void put_marked(const char *mark, const char *text, FILE *out) {
  fputs(mark, out);
  quote_line(text, out);
}

static void note_collapsed(const Result *result, const char *mark, FILE *out) {
  for (int i = 0; i < result->rows; i++) {
    const ResultRow *row = &result->row[i];
    int collapsed = row->status[STATUS_COLLAPSED];
    if (collapsed == 0) continue;
    put_marked(mark, row->label, out);
    fprintf(out, ": %d collapsed trial%s left out of the mean", collapsed,
            collapsed == 1 ? " is" : "s are");
    if (!isnan(row->with_collapsed))
      fprintf(out, "; counted as 0 the mean is %.3f", row->with_collapsed);
    fputc('\n', out);
  }
}

static void note_failed(const Result *result, const char *mark, FILE *out) {
  static const Status ends[] = {STATUS_FAILED, STATUS_OOM, STATUS_TIMEOUT};
  for (int i = 0; i < result->rows; i++) {
    const ResultRow *row = &result->row[i];
    if (!row->reason[0]) continue;
    put_marked(mark, row->label, out);
    for (size_t k = 0; k < sizeof ends / sizeof *ends; k++)
      if (row->status[ends[k]]) fprintf(out, ", %d %s", row->status[ends[k]], status_name(ends[k]));
    put_marked(": ", row->reason, out);
    fputc('\n', out);
  }
}

static void note_order(const Result *result, const char *mark, FILE *out) {
  const ResultTau *tau = &result->tau;
  if (isnan(tau->value)) return;
  fprintf(out, "%sKendall's tau-b between our order and the paper's: %+.2f over %d rows", mark,
          tau->value, tau->rows);
  if (tau->least > 0.05)
    fprintf(out, " (so few rows that no order of them reaches p = 0.05)");
  else if (!isnan(tau->p))
    fprintf(out, " (exact p = %.2g, seeds' spread not counted)", tau->p);
  fputc('\n', out);
}

static void note_counts(const Result *result, const char *mark, FILE *out) {
  int cases = 0, missed = 0, invented = 0;
  for (int i = 0; i < result->labels; i++) {
    cases += result->label[i].cases;
    missed += result->label[i].missed;
    invented += result->label[i].false_positive;
  }
  if (cases == 0) return;
  const MetricRow *metric = metric_stored(result->metric);
  bool distance = metric && metric->missed == MISSED_DIAGONAL;
  if (metric && metric->missed == MISSED_COUNTED) {
    fprintf(out, "%sFigure of a trial: mean over all validation cases, then over structures\n",
            mark);
    return;
  }
  fprintf(out,
          "%sFigure of a trial: mean over validation cases, then over structures. A structure that "
          "is missed (%d) or invented (%d of %d) %s; one in neither is not counted\n",
          mark, missed, invented, cases,
          distance ? "counts as far as the volume's diagonal (mm)" : "scores 0");
}

static void note_environment(const Result *result, const char *mark, FILE *out) {
  const ResultEnvironment *e = &result->environment;
  if (!result->measured) return;
  fprintf(out, "%sMeasured with harness %s", mark, e->version);
  if (e->commit_hash[0])
    fprintf(out, " (commit %.8s%s)", e->commit_hash, e->dirty ? ", modified" : "");
  fprintf(out, " on %s%s%s, %d cores; last trial %.10s\n", e->gpu, e->gpu[0] ? ", " : "", e->cpu,
          e->cores, e->ended_at);
}

void table_notes(const Result *result, const char *mark, FILE *out) {
  note_order(result, mark, out);
  fprintf(out, "%s± is the sample standard deviation (n - 1) over %s; n counts trials\n", mark,
          result->folds > 1 ? "seeds and folds" : "seeds");
  note_counts(result, mark, out);
  claim_notes(result, mark, out);
  note_collapsed(result, mark, out);
  note_failed(result, mark, out);
  tuned_notes(result, mark, out);
  start_notes(result, mark, out);
  table_origin(result, mark, out);
}

/* A note of the experiment's file is a text; one that hangs on a row's verdict has two. */
static const char *note_text(const Result *result, const json_t *note) {
  if (json_is_string(note)) return json_string_value(note);
  const char *key = json_string_value(json_object_get(note, "row"));
  bool worse = false;
  for (int i = 0; key && i < result->rows; i++) {
    const ResultRow *row = &result->row[i];
    double gain = result->family.lower ? -row->difference : row->difference;
    if (!strcmp(row->key, key)) worse = claim_shown(row) && gain < 0;
  }
  const char *text = json_string_value(json_object_get(note, worse ? "worse" : "otherwise"));
  return text ? text : "";
}

void table_origin(const Result *result, const char *mark, FILE *out) {
  for (int i = 0; i < result->rows; i++) {
    const ResultRow *row = &result->row[i];
    if (row->builds < 2) continue;
    put_marked(mark, row->label, out);
    fprintf(out, ": mixed, its trials ran with %d builds of the program\n", row->builds);
  }
  default_notes(result, mark, out);
  code_notes(result, mark, out);
  for (size_t i = 0; i < json_array_size(result->notes); i++) {
    const char *note = note_text(result, json_array_get(result->notes, i));
    const char *own = paper_note_mark(result, note);
    fprintf(out, "%s%s", mark, own);
    put_marked(own[0] ? " " : "", note, out);
    fputc('\n', out);
  }
  note_environment(result, mark, out);
}

static void put_sheet(Sheet sheet, bool text_last, FILE *out) {
  if (sheet.rows > 1) sheet_fitted(&sheet, text_last, out);
  if (sheet.rows > 1) fputc('\n', out);
  sheet_free(&sheet);
}

/* Ours and the paper's of one row stand together, below its name. */
static void put_labels(Sheet sheet, FILE *out) {
  char names[sheet.columns + 1][SHEET_CELL];
  const char *group[sheet.columns + 1];
  for (int k = 0; k < sheet.columns; k++) group[k] = "";
  for (int k = 1; k + 1 < sheet.columns; k++) {
    if (strcmp(sheet_get(&sheet, 0, k + 1), TABLE_PAPER) != 0) continue;
    snprintf(names[k], SHEET_CELL, "%s", sheet_get(&sheet, 0, k));
    sheet_set(&sheet, 0, k, "ours");
    group[k] = group[k + 1] = names[k];
  }
  if (sheet.rows > 1) sheet_blocks(&sheet, group, 80, out);
  if (sheet.rows > 1) fputc('\n', out);
  sheet_free(&sheet);
}

static void put_compared(const Result *result, FILE *out) {
  fputs("Differences to ", out);
  quote_line(result_compared(result), out);
  fputs("\n\n", out);
}

/* A line that is too long for the terminal goes on behind a \, so that it can be copied. */
static void put_command(const char *mark, const char *command, FILE *out) {
  size_t width = (size_t)wrap_width(out), used = strlen(mark);
  fputs(mark, out);
  for (const char *word = command; *word;) {
    size_t length = strcspn(word, " ");
    if (width && used > strlen(mark) && used + length + 3 > width)
      used = (size_t)fprintf(out, " \\\n      ") - 3;
    else if (word > command)
      used += (size_t)fprintf(out, " ");
    fprintf(out, "%.*s", (int)length, word);
    used += length;
    word += length + strspn(word + length, " ");
  }
  fputc('\n', out);
}

static void print_text(const Result *result, FILE *out) {
  table_wrapped(table_head, result, "        ", out);
  fputc('\n', out);
  put_sheet(table_sheet(result, TABLE_FIGURES), true, out);
  if (any_difference(result)) put_compared(result, out);
  if (any_difference(result)) put_sheet(table_sheet(result, TABLE_CLAIMS), true, out);
  put_labels(table_labels(result), out);
  table_wrapped(table_notes, result, "  ", out);
  if (result->reproduce) put_command("  reproduce: ", result->reproduce, out);
}

void table_print(const Result *result, const char *format, FILE *out) {
  if (result->plans || result->self_test) {
    (result->plans ? coverage_print : self_test_print)(result, format, out);
    return;
  }
  if (!strcmp(format, "json")) {
    table_json(result, NULL, out);
    return;
  }
  if (!strcmp(format, "csv")) {
    table_csv(result, out);
    return;
  }
  if (!strcmp(format, "text")) {
    print_text(result, out);
    return;
  }
  if (!strcmp(format, "macros")) {
    table_macros(result, out);
    return;
  }
  Sheet sheet = table_sheet(result, TABLE_WHOLE);
  table_written(result, &sheet, table_notes, format, out);
  sheet_free(&sheet);
}
