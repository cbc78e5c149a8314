#include "src/report/report.h"

#include <string.h>
#include <time.h>

#include "src/data/sets/json_text.h"
#include "src/report/claim.h"
#include "src/report/coverage.h"
#include "src/report/html.h"
#include "src/report/plot.h"
#include "src/report/table.h"
#include "src/store/field.h"

static const json_t *result_of(const json_t *experiment) {
  const json_t *result = json_object_get(experiment, "result");
  return json_is_object(result) ? result : NULL;
}

/* What is stored about an experiment, or what its file asks for. */
static const json_t *known_of(const json_t *experiment) {
  const json_t *result = result_of(experiment);
  return result ? result : json_object_get(experiment, "wanted");
}

/* "Table 3: SegHead" */
static void put_title(const json_t *experiment, FILE *out) {
  const json_t *known = known_of(experiment);
  if (json_is_integer(json_object_get(known, "table")))
    fprintf(out, "Table %d: ", field_whole(known, "table"));
  html_text(field_text(known, "title")[0] ? field_text(known, "title")
                                          : field_text(experiment, "name"),
            out);
}

static bool is_plan(const json_t *result) {
  return json_object_get(result, "points") != NULL;
}

/* --- what is open --- */

/* JSON takes valid UTF-8 only. */
static json_t *mended(const char *words) {
  char *copy = strdup(words);
  CHECK(copy, "no memory for a text");
  sheet_trim(copy);
  json_t *string = json_name(copy);
  free(copy);
  return string;
}

void report_add_open(json_t *open, const char *what, const char *state, const char *why,
                     const char *command) {
  json_array_append_new(open,
                        json_pack("{s:o,s:o,s:o,s:o}", "what", mended(what), "state", mended(state),
                                  "why", mended(why), "command", mended(command)));
}

void report_add_picture(json_t *pictures, const char *experiment, const char *caption,
                        const char *path) {
  json_array_append_new(pictures, json_pack("{s:o,s:o,s:o}", "experiment", mended(experiment),
                                            "caption", mended(caption), "path", mended(path)));
}

/* Of an experiment that a command would complete; more: its flags. */
static void add_open(Report *report, const json_t *experiment, const char *what, const char *state,
                     const char *why, const char *more) {
  char *command = settings_command(report, experiment, more);
  report_add_open(report->open, what, state, why, command);
  free(command);
}

/* Trials that have not ended stand together, the others by row and reason. */
static const char open_sql[] =
    "WITH trial AS (SELECT r.label, r.position, t.hash, t.seed, t.status,"
    "  t.status IN ('planned', 'running', 'interrupted') AS waits,"
    "  coalesce(a.message, '') AS message"
    "  FROM rows r JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id"
    "  LEFT JOIN attempts a ON a.id = (SELECT max(id) FROM attempts"
    "   WHERE trial_id = t.id AND removed = 0)"
    "  WHERE r.plan_id = ?1 AND t.status <> 'done')"
    " SELECT label, status, waits, CASE WHEN waits THEN '' ELSE message END AS why,"
    "  count(*) AS trials, min(seed) AS seed, min(hash) AS hash FROM trial"
    " GROUP BY status, CASE WHEN waits THEN -1 ELSE position END, why"
    " ORDER BY waits, position";

/* "query_count: 2 x N, seed 1, trial 3f2a1b0c" */
static void name_trials(const json_t *experiment, const json_t *trial, char *what, size_t bytes) {
  const char *name = field_text(experiment, "name"), *label = field_text(trial, "label");
  if (field_whole(trial, "trials") > 1 && field_whole(trial, "waits"))
    snprintf(what, bytes, "%.80s: %d trials", name, field_whole(trial, "trials"));
  else if (field_whole(trial, "trials") > 1)
    snprintf(what, bytes, "%.80s: %.300s, %d trials", name, label, field_whole(trial, "trials"));
  else
    snprintf(what, bytes, "%.80s: %.300s, seed %d, trial %.8s", name, label,
             field_whole(trial, "seed"), field_text(trial, "hash"));
}

static bool add_trials(Report *report, const json_t *experiment, Error *error) {
  json_t *trials, *trial,
      *parameters = json_pack("[O]", json_object_get(result_of(experiment), "plan_id"));
  bool good = store_query(report->store, open_sql, parameters, &trials, error);
  json_decref(parameters);
  size_t i;
  if (!good) return false;
  json_array_foreach(trials, i, trial) {
    char what[512], more[64] = "";
    const char *state = field_text(trial, "status");
    Status status = STATUS_PLANNED;
    status_parse(state, &status);
    bool again = status == STATUS_FAILED || status == STATUS_OOM || status == STATUS_COLLAPSED ||
                 status == STATUS_TIMEOUT;
    if (again) snprintf(more, sizeof more, "--retry %s", state);
    name_trials(experiment, trial, what, sizeof what);
    add_open(report, experiment, what, state, field_text(trial, "why"), more);
  }
  json_decref(trials);
  return true;
}

/* Rows that the experiment's file has and the stored plan has not. */
static void add_rows(Report *report, const json_t *experiment) {
  const json_t *wanted = json_object_get(json_object_get(experiment, "wanted"), "rows"), *row;
  const json_t *stored = json_object_get(result_of(experiment), "rows"), *other;
  size_t i, k;
  json_array_foreach(wanted, i, row) {
    bool found = false;
    json_array_foreach(stored, k, other) found =
        found || !strcmp(field_text(row, "key"), field_text(other, "key"));
    if (found) continue;
    char what[512];
    snprintf(what, sizeof what, "%.80s: %.300s", field_text(experiment, "name"),
             field_text(row, "label"));
    add_open(report, experiment, what, "missing", "not part of the run that is shown", "");
  }
}

static void add_unmeasured(Report *report, const json_t *experiment) {
  const json_t *points = json_object_get(result_of(experiment), "points"), *point;
  int count = 0;
  size_t i;
  json_array_foreach(points, i, point) count += !json_is_number(json_object_get(point, "step_s"));
  if (!count) return;
  char what[256];
  snprintf(what, sizeof what, "%.80s: step time of %d of %d bridges",
           field_text(experiment, "name"), count, (int)json_array_size(points));
  add_open(report, experiment, what, "skipped",
           "planned, not run: the step does not fit here or takes too long", "");
}

static bool find_open(Report *report, Error *error) {
  const json_t *experiment;
  size_t i;
  json_array_foreach(report->experiments, i, experiment) {
    if (!result_of(experiment)) {
      char what[512];
      snprintf(what, sizeof what, "%.80s: %.300s", field_text(experiment, "name"),
               field_text(known_of(experiment), "title"));
      add_open(report, experiment, what, "missing", "nothing is stored", "");
      continue;
    }
    add_rows(report, experiment);
    if (!add_trials(report, experiment, error)) return false;
    add_unmeasured(report, experiment);
  }
  return true;
}

static bool write_open(Report *report, Error *error) {
  (void)error;
  const json_t *item;
  size_t i;
  FILE *out = report->out;
  if (json_array_size(report->open) == 0) {
    fputs("<p>Nothing: every trial of every experiment is done.</p>\n", out);
    return true;
  }
  fputs(
      "<div class=\"wide\"><table><thead><tr><th class=\"left\">what</th><th class=\"left\">"
      "state</th><th class=\"left\">why</th><th class=\"left\">command</th></tr></thead><tbody>\n",
      out);
  json_array_foreach(report->open, i, item) {
    fputs("<tr><th scope=\"row\" class=\"left\">", out);
    html_text(field_text(item, "what"), out);
    fputs("</th><td class=\"left\">", out);
    html_text(field_text(item, "state"), out);
    fputs("</td><td class=\"left\">", out);
    html_text(field_text(item, "why"), out);
    fputs("</td><td class=\"left\"><code>", out);
    html_text(field_text(item, "command"), out);
    fputs("</code></td></tr>\n", out);
  }
  fputs("</tbody></table></div>\n", out);
  return true;
}

/* --- summary --- */

/* Verdicts of a result, by Claim. */
static void count_verdicts(const json_t *result, int count[CLAIM_TOO_FEW + 1]) {
  const json_t *row;
  size_t i;
  json_array_foreach(json_object_get(result, "rows"), i, row) for (int c = 0; c <= CLAIM_TOO_FEW;
                                                                   c++) count[c] +=
      !strcmp(field_text(row, "verdict"), claim_names[c]);
}

static void count_trials(const json_t *result, int *done, int *cells) {
  const json_t *row;
  size_t i;
  *done = *cells = 0;
  json_array_foreach(json_object_get(result, "rows"), i, row) {
    *done += field_whole(row, "done");
    *cells += field_whole(row, "cells");
  }
}

static void put_summary_row(Sheet *sheet, int line, const json_t *experiment, int total[]) {
  const json_t *result = result_of(experiment), *tau = json_object_get(result, "tau");
  int count[CLAIM_TOO_FEW + 1] = {0}, done, cells;
  const json_t *known = known_of(experiment);
  if (json_is_integer(json_object_get(known, "table")))
    sheet_set(sheet, line, 0, "Table %d: %.100s", field_whole(known, "table"),
              field_text(known, "title"));
  else
    sheet_set(sheet, line, 0, "%.120s", field_text(known, "title"));
  count_verdicts(result, count);
  count_trials(result, &done, &cells);
  bool claims = false;
  for (int c = CLAIM_SUPPORTED; c <= CLAIM_TOO_FEW; c++) claims = claims || count[c];
  for (int c = CLAIM_SUPPORTED; c <= CLAIM_TOO_FEW; c++) {
    sheet_set(sheet, line, c, claims ? "%d" : "-", count[c]);
    total[c] += count[c];
  }
  sheet_set(sheet, line, 5, tau ? "%+.2f" : "-", json_number_value(json_object_get(tau, "value")));
  sheet_set(sheet, line, 6, result ? "%s" : "-", field_text(result, "scale"));
  sheet_set(sheet, line, 7, "%d of %d", done, cells);
  if (!result) sheet_set(sheet, line, 7, "missing");
}

static void put_verdicts(const int total[], FILE *out) {
  int judged = total[CLAIM_SUPPORTED] + total[CLAIM_NOT_SUPPORTED] + total[CLAIM_UNDECIDED];
  if (judged)
    fprintf(out,
            "<p>Of %d claims that could be judged here, <b class=\"good\">%d supported</b>, "
            "<b class=\"bad\">%d not supported</b>, <b class=\"open\">%d undecided</b>.</p>\n",
            judged, total[CLAIM_SUPPORTED], total[CLAIM_NOT_SUPPORTED], total[CLAIM_UNDECIDED]);
  else
    fputs("<p><b class=\"open\">No claim could be judged here yet.</b></p>\n", out);
  if (total[CLAIM_TOO_FEW])
    fprintf(out, "<p>%d claim%s too few seeds: an interval needs 2 trials a row.</p>\n",
            total[CLAIM_TOO_FEW], total[CLAIM_TOO_FEW] == 1 ? " has" : "s have");
}

static bool write_summary(Report *report, Error *error) {
  (void)error;
  int experiments = (int)json_array_size(report->experiments), total[CLAIM_TOO_FEW + 1] = {0};
  Sheet sheet = sheet_make(experiments + 1, 8);
  sheet_set(&sheet, 0, 0, "experiment");
  for (int c = CLAIM_SUPPORTED; c <= CLAIM_TOO_FEW; c++)
    sheet_set(&sheet, 0, c, "%s", claim_names[c]);
  sheet_set(&sheet, 0, 5, "Kendall's tau");
  sheet_set(&sheet, 0, 6, "scale");
  sheet_set(&sheet, 0, 7, "trials done");
  for (int i = 0; i < experiments; i++)
    put_summary_row(&sheet, i + 1, json_array_get(report->experiments, (size_t)i), total);
  put_verdicts(total, report->out);
  html_sheet(&sheet, false, report->out);
  sheet_free(&sheet);
  fputs("<p class=\"faint\">A claim is the sign of the paper's difference between a row and the "
        "row above it, or that a row collapses. Supported or not supported: the 95 % interval of "
        "our difference excludes 0. Kendall's tau-b compares the order of all rows: +1 the "
        "paper's, -1 reversed.</p>\n",
        report->out);
  int open = (int)json_array_size(report->open);
  if (open)
    fprintf(report->out,
            "<p><a href=\"#open\">Skipped, failed, collapsed or missing: %d entr%s</a>.</p>\n",
            open, open == 1 ? "y" : "ies");
  return true;
}

/* --- results --- */

/* What print writes, as a text; malloced. */
static char *captured(void (*print)(const json_t *, const char *, FILE *), const json_t *result,
                      const char *word) {
  char *content = NULL;
  size_t bytes = 0;
  FILE *memory = open_memstream(&content, &bytes);
  CHECK(memory, "no memory for a text");
  print(result, word, memory);
  CHECK(fclose(memory) == 0 && content, "no memory for a text");
  return content;
}

/* The line under the title: the second line of table_head. */
static void put_head(const json_t *result, FILE *out) {
  char *head = captured(table_head, result, "\n"), *second = strchr(head, '\n');
  fputs("<p class=\"faint\">", out);
  html_text(second ? second + 1 : head, out);
  fputs("</p>\n", out);
  free(head);
}

static void put_table(const json_t *result, FILE *out) {
  Sheet sheet = is_plan(result) ? coverage_sheet(result) : table_sheet(result);
  html_sheet(&sheet, !is_plan(result), out);
  sheet_free(&sheet);
  char *notes = is_plan(result) ? strdup(coverage_note) : captured(table_notes, result, "");
  CHECK(notes, "no memory for notes");
  html_lines(notes, out);
  free(notes);
}

static void put_labels(const json_t *result, FILE *out) {
  Sheet labels = table_labels(result);
  if (labels.rows > 1) {
    fputs("<details><summary>Figures per structure</summary>\n", out);
    html_sheet(&labels, false, out);
    fputs("</details>\n", out);
  }
  sheet_free(&labels);
}

static void put_picture(Report *report, const char *title, const char *path, const char *caption) {
  Error error = {""};
  char whole_caption[640];
  snprintf(whole_caption, sizeof whole_caption, "%.200s, %.400s", title, caption);
  if (html_picture(path, whole_caption, report->figures + 1, report->out, &error)) {
    report->figures++;
    return;
  }
  report_add_open(report->open, title, "failed", error.text, "./harness report");
}

static void put_plots(Report *report, const json_t *experiment) {
  const json_t *result = result_of(experiment), *picture;
  const char *title = field_text(result, "title");
  const PlotOf of = {report->store, store_folder(report->store), result, 0};
  for (const PlotKind *kind = plot_kinds; kind < plot_kinds + PLOT_KINDS; kind++) {
    char path[PLOT_PATH], command[320];
    Error error = {""};
    if (!plot_fits(kind, result)) continue;
    if (kind->draw(&of, path, &error)) {
      put_picture(report, title, path, kind->caption);
      continue;
    }
    snprintf(command, sizeof command, "./harness plot %s%s%.200s", kind->word,
             kind->word[0] ? " " : "", field_text(experiment, "name"));
    report_add_open(report->open, kind->caption, "failed", error.text, command);
  }
  size_t i;
  json_array_foreach(report->pictures, i, picture) {
    if (!strcmp(field_text(picture, "experiment"), field_text(experiment, "name")))
      put_picture(report, title, field_text(picture, "path"), field_text(picture, "caption"));
  }
}

/* The paper's rows alone, and how to get ours. */
static void put_missing(const Report *report, const json_t *experiment) {
  json_t *wanted = json_deep_copy(json_object_get(experiment, "wanted")), *row;
  char *command = settings_command(report, experiment, "");
  size_t i;
  fputs("<p><b class=\"open\">Nothing is stored yet.</b> This runs it: <code>", report->out);
  html_text(command, report->out);
  fputs("</code></p>\n", report->out);
  free(command);
  json_array_foreach(json_object_get(wanted, "rows"), i, row)
      json_object_set_new(row, "planned", json_integer(1));
  if (strcmp(field_text(wanted, "metric"), "plan") && json_object_get(wanted, "rows"))
    put_table(wanted, report->out);
  json_decref(wanted);
}

static bool write_results(Report *report, Error *error) {
  (void)error;
  const json_t *experiment;
  size_t i;
  json_array_foreach(report->experiments, i, experiment) {
    const json_t *result = result_of(experiment);
    fputs("<section class=\"result\" id=\"", report->out);
    html_text(field_text(experiment, "name"), report->out);
    fputs("\">\n<h3>", report->out);
    put_title(experiment, report->out);
    fputs("</h3>\n", report->out);
    if (result) {
      put_head(result, report->out);
      put_table(result, report->out);
      put_plots(report, experiment);
      if (!is_plan(result)) put_labels(result, report->out);
    } else {
      put_missing(report, experiment);
    }
    fputs("</section>\n", report->out);
  }
  return true;
}

/* --- the page --- */

typedef struct Section {
  const char *id, *title;
  bool (*write)(Report *report, Error *error);
} Section;

static const Section sections[] = {
    {"summary", "Which claims held", write_summary},
    {"results", "Tables and figures", write_results},
    {"open", "Skipped, failed, collapsed, missing", write_open},
    {"configuration", "Configuration", settings_configuration},
    {"environment", "Environment", settings_environment},
};
enum { SECTIONS = sizeof sections / sizeof *sections };

static void put_contents(const Report *report) {
  const json_t *experiment;
  size_t i;
  fputs("<nav>", report->out);
  for (int s = 0; s < SECTIONS; s++)
    fprintf(report->out, "<a href=\"#%s\">%s</a> ", sections[s].id, sections[s].title);
  fputs("</nav>\n<nav class=\"faint\">", report->out);
  json_array_foreach(report->experiments, i, experiment) {
    fputs("<a href=\"#", report->out);
    html_text(field_text(experiment, "name"), report->out);
    fputs("\">", report->out);
    put_title(experiment, report->out);
    fputs("</a> ", report->out);
  }
  fputs("</nav>\n", report->out);
}

bool report_write(Report *report, Error *error) {
  char date[64];
  time_t now = time(NULL);
  strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", gmtime(&now));
  html_open("harness: the paper's claims, measured", report->out);
  fputs("<h1>The paper's claims, measured</h1>\n<p class=\"faint\">", report->out);
  html_print(report->out, "Written %s by harness %s from %s", date, VERSION,
             store_path(report->store));
  fputs("</p>\n", report->out);
  put_contents(report);
  bool good = find_open(report, error);
  for (int s = 0; s < SECTIONS && good; s++) {
    fprintf(report->out, "<h2 id=\"%s\"%s>%s</h2>\n", sections[s].id, s ? "" : " class=\"first\"",
            sections[s].title);
    good = sections[s].write(report, error);
  }
  html_close(report->out);
  return good;
}
