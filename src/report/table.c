#include "src/report/table.h"
#include "src/data/metrics/metric.h"
#include "src/data/sets/json_text.h"
#include "src/data/sets/split.h"

#include <string.h>

#include "src/report/claim.h"
#include "src/report/coverage.h"
#include "src/report/quote.h"
#include "src/store/field.h"

const char *const table_formats[] = {"text", "md", "csv", "json", "tex"};

static const char *metric_word(const json_t *result) {
  const MetricRow *metric = metric_stored(field_text(result, "metric"));
  return metric && metric->paper ? metric->paper : field_text(result, "metric");
}

/* Three decimals, four where the paper gives four. */
static void put_figure(Sheet *sheet, int row, int column, const json_t *object, const char *key) {
  if (!field_known(object, key)) {
    sheet_set(sheet, row, column, "-");
    return;
  }
  double value = field_number(object, key),
         rest = value * 1000 - (double)(long)(value * 1000 + 0.5);
  sheet_set(sheet, row, column, rest > 0.01 || rest < -0.01 ? "%.4f" : "%.3f", value);
}

/* "done", or how many ended in which way: "2 done, 1 collapsed". */
static void put_status(Sheet *sheet, int row, int column, const json_t *line) {
  char words[SHEET_CELL] = "";
  int kinds = 0;
  for (int i = 0; i < STATUS_COUNT; i++) {
    int count = field_whole(line, status_name((Status)i));
    if (count == 0) continue;
    size_t used = strlen(words);
    snprintf(words + used, sizeof words - used, "%s%d %s", kinds++ ? ", " : "", count,
             status_name((Status)i));
  }
  sheet_set(sheet, row, column, "%s", kinds > 1 ? words : result_status(line));
}

/* 0.123456e6 -> "0.123 M". */
static void put_count(Sheet *sheet, int row, int column, const json_t *object, const char *key) {
  double value = field_number(object, key);
  if (!field_known(object, key))
    sheet_set(sheet, row, column, "-");
  else if (value < 10000)
    sheet_set(sheet, row, column, "%.0f", value);
  else
    sheet_set(sheet, row, column, value < 1e7 ? "%.3f M" : "%.1f M", value / 1e6);
}

/* "+0.012 [-0.003, +0.027]"; without the interval where the seeds are too few for one. */
static void put_difference(Sheet *sheet, int row, int column, const json_t *line) {
  if (field_known(line, "low"))
    sheet_set(sheet, row, column, "%+.3f [%+.3f, %+.3f]", field_number(line, "difference"),
              field_number(line, "low"), field_number(line, "high"));
  else if (field_known(line, "difference"))
    sheet_set(sheet, row, column, "%+.3f", field_number(line, "difference"));
  else
    sheet_set(sheet, row, column, "-");
}

static void put_measured(Sheet *sheet, int row, int column, const json_t *line) {
  if (field_known(line, "sd"))
    sheet_set(sheet, row, column, "%.3f ± %.3f", field_number(line, "mean"),
              field_number(line, "sd"));
  else if (field_known(line, "mean"))
    sheet_set(sheet, row, column, "%.3f", field_number(line, "mean"));
  else
    sheet_set(sheet, row, column, field_whole(line, "collapsed") ? "collapsed" : "-");
}

Sheet table_sheet(const json_t *result) {
  const json_t *rows = json_object_get(result, "rows");
  int count = (int)json_array_size(rows);
  Sheet sheet = sheet_make(count + 1, 8);
  const char *axis = field_text(result, "axis");
  sheet_set(&sheet, 0, 0, "%s", axis[0] ? axis : "variant");
  sheet_set(&sheet, 0, 1, "paper %s", metric_word(result));
  sheet_set(&sheet, 0, 2, "measured %s (mean ± sd)", metric_word(result));
  sheet_set(&sheet, 0, 3, "n");
  sheet_set(&sheet, 0, 4, "to the row above [95 %%]");
  sheet_set(&sheet, 0, 5, "paper's claim");
  sheet_set(&sheet, 0, 6, "parameters");
  sheet_set(&sheet, 0, 7, "status");
  for (int i = 0; i < count; i++) {
    const json_t *row = json_array_get(rows, (size_t)i);
    const char *paper_word = field_text(row, "paper_word"), *verdict = field_text(row, "verdict");
    sheet_set(&sheet, i + 1, 0, "%s", field_text(row, "label"));
    if (paper_word[0])
      sheet_set(&sheet, i + 1, 1, "%s", paper_word);
    else
      put_figure(&sheet, i + 1, 1, row, "paper");
    put_measured(&sheet, i + 1, 2, row);
    sheet_set(&sheet, i + 1, 3, "%d", field_whole(row, "n"));
    put_difference(&sheet, i + 1, 4, row);
    sheet_set(&sheet, i + 1, 5, "%s", verdict[0] ? verdict : "-");
    put_count(&sheet, i + 1, 6, row, "parameters");
    put_status(&sheet, i + 1, 7, row);
  }
  return sheet;
}

/* One line a label, one column a row of the table; the list is ordered by label. */
Sheet table_labels(const json_t *result) {
  const json_t *rows = json_object_get(result, "rows"), *labels = json_object_get(result, "labels");
  int columns = (int)json_array_size(rows), lines = 0;
  json_int_t last = -1;
  for (size_t i = 0; i < json_array_size(labels); i++) {
    json_int_t label = field_whole(json_array_get(labels, i), "label");
    if (label != last) lines++;
    last = label;
  }
  Sheet sheet = sheet_make(lines + 1, columns + 1);
  sheet_set(&sheet, 0, 0, "%s per structure", metric_word(result));
  bool wide = false;
  for (int i = 0; i < columns; i++)
    wide = wide || strlen(field_text(json_array_get(rows, (size_t)i), "label")) > 24;
  for (int i = 0; i < columns; i++) { /* columns as wide as long names would be unreadable */
    sheet_set(&sheet, 0, i + 1, "%s", field_text(json_array_get(rows, (size_t)i), "label"));
    if (wide) sheet_set(&sheet, 0, i + 1, "row %d", i + 1);
  }
  for (int line = 1; line <= lines; line++)
    for (int i = 1; i <= columns; i++) sheet_set(&sheet, line, i, "-");
  int line = 0;
  last = -1;
  for (size_t i = 0; i < json_array_size(labels); i++) {
    const json_t *item = json_array_get(labels, i);
    if (field_whole(item, "label") != last) line++;
    last = field_whole(item, "label");
    sheet_set(&sheet, line, 0, "%s", field_text(item, "name"));
    for (int k = 0; k < columns && field_known(item, "mean"); k++)
      if (field_whole(json_array_get(rows, (size_t)k), "position") == field_whole(item, "position"))
        sheet_set(&sheet, line, k + 1, "%.3f", field_number(item, "mean"));
  }
  return sheet;
}

void table_head(const json_t *result, const char *gap, FILE *out) {
  if (field_known(result, "table")) fprintf(out, "Table %d  ", field_whole(result, "table"));
  quote_line(field_text(result, "title"), out);
  fputs(gap, out);
  quote_line(field_text(result, "model"), out);
  fputs(field_text(result, "model")[0] ? ", scale " : "scale ", out);
  quote_line(field_text(result, "scale"), out);
  fputs(", ", out);
  quote_line(field_text(result, "dataset"), out);
  fprintf(out, ", %s, %d seed%s", field_text(result, "device"), field_whole(result, "seeds"),
          field_whole(result, "seeds") == 1 ? "" : "s");
  if (field_whole(result, "folds") > 1) fprintf(out, " x %d folds", field_whole(result, "folds"));
  if (!strcmp(field_text(result, "split"), SPLIT_KFOLD)) fputs(", nnU-Net's folds", out);
  fputc('\n', out);
}

static void put_marked(const char *mark, const char *text, FILE *out) {
  fputs(mark, out);
  quote_line(text, out);
}

static void note_collapsed(const json_t *result, const char *mark, FILE *out) {
  const json_t *rows = json_object_get(result, "rows");
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *row = json_array_get(rows, i);
    int collapsed = field_whole(row, "collapsed");
    if (collapsed == 0) continue;
    put_marked(mark, field_text(row, "label"), out);
    fprintf(out, ": %d collapsed trial%s left out of the mean; counted as 0 the mean is %.3f\n",
            collapsed, collapsed == 1 ? " is" : "s are", field_number(row, "with_collapsed"));
  }
}

/* What the interval and the verdict are, and how many of them there are. */
static void note_claims(const json_t *result, const char *mark, FILE *out) {
  int comparisons = field_whole(result, "comparisons");
  if (comparisons > 0)
    fprintf(
        out,
        "%s[95 %%]: paired bootstrap (%d resamples) over validation cases, the same for both "
        "rows, and over seeds, widened for few seeds\n"
        "%sPaper's claim: the sign of its own difference to the row above; supported or not "
        "where the interval excludes 0, else undecided. %d comparison%s, not corrected for their "
        "number\n",
        mark, BOOTSTRAP_RESAMPLES, mark, comparisons, comparisons == 1 ? "" : "s");
  bool few = false, dropped = false;
  const json_t *rows = json_object_get(result, "rows");
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *row = json_array_get(rows, i);
    few = few || !strcmp(field_text(row, "verdict"), claim_names[CLAIM_TOO_FEW]);
    dropped = dropped || (field_whole(row, "collapsed") > 0 && field_known(row, "mean"));
  }
  if (few)
    fprintf(out, "%stoo few seeds: no interval and no verdict from fewer than 2 trials a row\n",
            mark);
  if (dropped)
    fprintf(out, "%sA verdict that changes when collapsed trials count as 0 is undecided\n", mark);
}

static void note_order(const json_t *result, const char *mark, FILE *out) {
  const json_t *tau = json_object_get(result, "tau");
  if (!tau) return;
  fprintf(out, "%sKendall's tau-b between our order and the paper's: %+.2f over %d rows", mark,
          field_number(tau, "value"), field_whole(tau, "rows"));
  if (field_known(tau, "least") && field_number(tau, "least") > 0.05)
    fprintf(out, " (so few rows that no order of them reaches p = 0.05)");
  else if (field_known(tau, "p"))
    fprintf(out, " (exact p = %.2g, seeds' spread not counted)", field_number(tau, "p"));
  fputc('\n', out);
}

static void note_counts(const json_t *result, const char *mark, FILE *out) {
  const json_t *labels = json_object_get(result, "labels");
  int cases = 0, missed = 0, invented = 0;
  for (size_t i = 0; i < json_array_size(labels); i++) {
    cases += field_whole(json_array_get(labels, i), "cases");
    missed += field_whole(json_array_get(labels, i), "missed");
    invented += field_whole(json_array_get(labels, i), "false_positive");
  }
  if (cases == 0) return;
  const MetricRow *metric = metric_stored(field_text(result, "metric"));
  bool distance = metric && metric->missed == MISSED_DIAGONAL;
  fprintf(out,
          "%sFigure of a trial: mean over validation cases, then over structures. A structure that "
          "is missed (%d) or invented (%d of %d) %s; one in neither is not counted\n",
          mark, missed, invented, cases,
          distance ? "counts as far as the volume's diagonal (mm)" : "scores 0");
}

static void note_environment(const json_t *result, const char *mark, FILE *out) {
  const json_t *environment = json_object_get(result, "environment");
  if (!environment) return;
  fprintf(out, "%sMeasured with harness %s", mark, field_text(environment, "version"));
  if (field_text(environment, "commit_hash")[0])
    fprintf(out, " (commit %.8s%s)", field_text(environment, "commit_hash"),
            field_whole(environment, "dirty") ? ", modified" : "");
  fprintf(out, " on %s, %d cores; last trial %.10s\n", field_text(environment, "cpu"),
          field_whole(environment, "cores"), field_text(environment, "ended_at"));
}

void table_notes(const json_t *result, const char *mark, FILE *out) {
  note_order(result, mark, out);
  bool several_folds = field_whole(result, "folds") > 1;
  fprintf(out, "%s± is the sample standard deviation (n - 1) over %s; n counts trials\n", mark,
          several_folds ? "seeds and folds" : "seeds");
  note_counts(result, mark, out);
  note_claims(result, mark, out);
  note_collapsed(result, mark, out);
  const json_t *rows = json_object_get(result, "rows");
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *row = json_array_get(rows, i);
    if (field_whole(row, "builds") < 2) continue;
    put_marked(mark, field_text(row, "label"), out);
    fprintf(out, ": mixed, its trials ran with %d builds of the program\n",
            field_whole(row, "builds"));
  }
  const json_t *notes = json_object_get(result, "notes");
  for (size_t i = 0; i < json_array_size(notes); i++) {
    put_marked(mark, json_string_value(json_array_get(notes, i)), out);
    fputc('\n', out);
  }
  note_environment(result, mark, out);
}

static void print_json(const json_t *result, FILE *out) {
  json_t *lines = json_array();
  const json_t *rows = json_object_get(result, "rows");
  static const char *const keys[] = {"key", "label", "paper", "mean", "sd", "n"};
  static const char *const more[] = {"paper_word", "parameters", "difference",    "low",
                                     "high",       "verdict",    "with_collapsed"};
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *row = json_array_get(rows, i);
    json_t *line = json_object();
    for (int k = 0; k < 6; k++) json_object_set(line, keys[k], json_object_get(row, keys[k]));
    json_object_set_new(line, "status", json_string(result_status(row)));
    for (int k = 0; k < 7; k++) {
      json_t *value = json_object_get(row, more[k]);
      json_object_set(line, more[k], value ? value : json_null());
    }
    json_array_append_new(lines, line);
  }
  json_t *document = json_pack(
      "{s:i,s:O,s:O,s:O,s:O,s:o}", "schema", 1, "table", json_object_get(result, "table"), "scale",
      json_object_get(result, "scale"), "dataset", json_object_get(result, "dataset"), "device",
      json_object_get(result, "device"), "rows", lines);
  if (json_object_get(result, "tau"))
    json_object_set(document, "tau", json_object_get(result, "tau"));
  json_document(document, out, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
  json_decref(document);
}

static void print_csv(const json_t *result, FILE *out) {
  const json_t *rows = json_object_get(result, "rows");
  static const char *const keys[] = {"key", "label", "paper",   "mean",
                                     "sd",  "n",     "status",  "difference",
                                     "low", "high",  "verdict", "parameters"};
  enum { COLUMNS = sizeof keys / sizeof keys[0] };
  int count = (int)json_array_size(rows);
  Sheet sheet = sheet_make(count + 1, COLUMNS);
  for (int k = 0; k < COLUMNS; k++) sheet_set(&sheet, 0, k, "%s", keys[k]);
  for (int i = 0; i < count; i++) {
    const json_t *row = json_array_get(rows, (size_t)i);
    sheet_set(&sheet, i + 1, 0, "%s", field_text(row, "key"));
    sheet_set(&sheet, i + 1, 1, "%s", field_text(row, "label"));
    for (int k = 2; k < 5; k++)
      if (field_known(row, keys[k]))
        sheet_set(&sheet, i + 1, k, "%.12g", field_number(row, keys[k]));
    sheet_set(&sheet, i + 1, 5, "%d", field_whole(row, "n"));
    sheet_set(&sheet, i + 1, 6, "%s", result_status(row));
    for (int k = 7; k < 10; k++)
      if (field_known(row, keys[k]))
        sheet_set(&sheet, i + 1, k, "%.12g", field_number(row, keys[k]));
    sheet_set(&sheet, i + 1, 10, "%s", field_text(row, "verdict"));
    if (field_known(row, "parameters"))
      sheet_set(&sheet, i + 1, 11, "%.0f", field_number(row, "parameters"));
  }
  sheet_csv(&sheet, out);
  sheet_free(&sheet);
}

static void print_tex(const json_t *result, const Sheet *sheet, FILE *out) {
  fputs("% needs \\usepackage{booktabs}\n% ", out);
  table_head(result, "; ", out);
  table_notes(result, "% ", out);
  sheet_tex(sheet, true, out);
}

/* What print writes of a result with its second argument, to be freed. */
static char *printed(void (*print)(const json_t *, const char *, FILE *), const json_t *result,
                     const char *argument) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *memory = open_memstream(&text, &bytes);
  CHECK(memory, "no memory for a table");
  print(result, argument, memory);
  CHECK(fclose(memory) == 0 && text, "no memory for a table");
  return text;
}

static void put_markdown(const char *before, const char *line, const char *after, FILE *out) {
  fputs(before, out);
  quote_markdown(line, out);
  fputs(after, out);
}

static void print_markdown(const json_t *result, const Sheet *sheet, FILE *out) {
  char *head = printed(table_head, result, "\n"), *notes = printed(table_notes, result, "");
  put_markdown("**", strtok(head, "\n"), "**  \n", out);
  put_markdown("", strtok(NULL, "\n"), "\n\n", out);
  sheet_markdown(sheet, true, out);
  fputc('\n', out);
  for (char *line = strtok(notes, "\n"); line; line = strtok(NULL, "\n"))
    put_markdown("- ", line, "\n", out);
  free(head);
  free(notes);
}

void table_print(const json_t *result, const char *format, FILE *out) {
  if (json_object_get(result, "points")) {
    coverage_print(result, format, out);
    return;
  }
  if (!strcmp(format, "json")) {
    print_json(result, out);
    return;
  }
  if (!strcmp(format, "csv")) {
    print_csv(result, out);
    return;
  }
  Sheet sheet = table_sheet(result), labels = table_labels(result);
  if (!strcmp(format, "tex")) {
    print_tex(result, &sheet, out);
  } else if (!strcmp(format, "md")) {
    print_markdown(result, &sheet, out);
  } else {
    table_head(result, "        ", out);
    fputc('\n', out);
    sheet_text(&sheet, true, out);
    fputc('\n', out);
    if (labels.rows > 1) sheet_text(&labels, false, out);
    if (labels.rows > 1) fputc('\n', out);
    table_notes(result, "  ", out);
  }
  sheet_free(&sheet);
  sheet_free(&labels);
}
