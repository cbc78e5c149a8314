#include "src/report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/home.h"
#include "src/data/sets/json_text.h"
#include "src/machine/built.h"
#include "src/report/claim.h"
#include "src/report/coverage.h"
#include "src/report/html.h"
#include "src/report/plot.h"
#include "src/report/self_test.h"
#include "src/report/table.h"
#include "src/report/written.h"
#include "src/store/field.h"

static void put_title(const ReportExperiment *e, FILE *out) {
  char text[1024];
  report_title(e, text, sizeof text);
  html_text(text[0] ? text : e->name, out);
}

/* ---- what is open ---------------------------------------------------------------------------- */

/* Whole characters, and valid UTF-8 where they were not. */
static char *mended(const char *words) {
  char *copy = strdup(words);
  CHECK(copy, "no memory for a text");
  sheet_trim(copy);
  json_t *name = json_name(copy);
  free(copy);
  copy = strdup(json_string_value(name));
  CHECK(copy, "no memory for a text");
  json_decref(name);
  return copy;
}

void report_add_open(Report *r, const char *what, const char *state, const char *why,
                     const char *command) {
  r->open = realloc(r->open, ((size_t)r->opens + 1) * sizeof *r->open);
  CHECK(r->open, "no memory for the report");
  r->open[r->opens++] = (ReportOpen){mended(what), mended(state), mended(why), mended(command)};
}

void report_add_picture(Report *r, const char *experiment, const char *caption, const char *path) {
  r->picture = realloc(r->picture, ((size_t)r->pictures + 1) * sizeof *r->picture);
  CHECK(r->picture, "no memory for the report");
  r->picture[r->pictures++] = (ReportPicture){mended(experiment), mended(caption), mended(path)};
}

void report_free(Report *r) {
  for (int i = 0; i < r->experiments; i++) {
    json_decref(r->experiment[i].wanted);
    result_free(r->experiment[i].result);
  }
  for (int i = 0; i < r->pictures; i++) {
    free(r->picture[i].experiment);
    free(r->picture[i].caption);
    free(r->picture[i].path);
  }
  for (int i = 0; i < r->opens; i++) {
    free(r->open[i].what);
    free(r->open[i].state);
    free(r->open[i].why);
    free(r->open[i].command);
  }
  free(r->experiment);
  free(r->picture);
  free(r->open);
  json_decref(r->options);
}

/* Of an experiment that a command would complete; more: its flags. */
static void add_open(Report *report, const ReportExperiment *experiment, const char *what,
                     const char *state, const char *why, const char *more) {
  char *command = settings_command(report, experiment, more);
  report_add_open(report, what, state, why, command);
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

typedef struct Open {
  const char *label, *status, *why, *hash;
  int waits, trials, seed;
} Open;

static const Column open_columns[] = {
    COLUMN(Open, label),  COLUMN(Open, status), COLUMN(Open, waits), COLUMN(Open, why),
    COLUMN(Open, trials), COLUMN(Open, seed),   COLUMN(Open, hash),  {0}};

/* "query_count: 2 x N, seed 1, trial 3f2a1b0c" */
static void name_trials(const char *name, const Open *o, char *what, size_t bytes) {
  if (o->trials > 1 && o->waits)
    snprintf(what, bytes, "%.80s: %d trials", name, o->trials);
  else if (o->trials > 1)
    snprintf(what, bytes, "%.80s: %.300s, %d trials", name, o->label, o->trials);
  else
    snprintf(what, bytes, "%.80s: %.300s, seed %d, trial %.8s", name, o->label, o->seed, o->hash);
}

static bool add_trials(Report *report, const ReportExperiment *experiment, Error *error) {
  Rows rows;
  if (!store_rows(report->store, open_sql,
                  json_pack("[I]", (json_int_t)experiment->result->plan_id), open_columns,
                  sizeof(Open), &rows, error))
    return false;
  const Open *open = rows.row;
  for (int i = 0; i < rows.count; i++) {
    char what[512], more[64] = "";
    Status status = STATUS_PLANNED;
    status_parse(open[i].status, &status);
    bool again = status == STATUS_FAILED || status == STATUS_OOM || status == STATUS_COLLAPSED ||
                 status == STATUS_TIMEOUT;
    if (again) snprintf(more, sizeof more, "--retry %s", open[i].status);
    name_trials(experiment->name, &open[i], what, sizeof what);
    add_open(report, experiment, what, open[i].status, open[i].why, more);
  }
  rows_free(&rows);
  return true;
}

/* Rows that the experiment's file has and what is stored has not. */
static void add_rows(Report *report, const ReportExperiment *experiment) {
  const json_t *row;
  size_t i;
  json_array_foreach(json_object_get(experiment->wanted, "rows"), i, row) {
    bool found = false;
    for (int k = 0; k < experiment->result->rows; k++)
      found = found || !strcmp(field_text(row, "key"), experiment->result->row[k].key);
    if (found) continue;
    char what[512];
    snprintf(what, sizeof what, "%.80s: %.300s", experiment->name, field_text(row, "label"));
    add_open(report, experiment, what, "missing", "not part of the run that is shown", "");
  }
}

static void add_unmeasured(Report *report, const ReportExperiment *experiment) {
  const Result *result = experiment->result;
  int count = 0;
  for (int i = 0; i < result->points; i++) count += isnan(result->point[i].step_s) != 0;
  if (!count) return;
  char what[256];
  snprintf(what, sizeof what, "%.80s: step time of %d of %d bridges", experiment->name, count,
           result->points);
  add_open(report, experiment, what, "skipped",
           "planned, not run: the step does not fit here or takes too long", "");
}

static bool find_open(Report *report, Error *error) {
  for (int i = 0; i < report->experiments; i++) {
    const ReportExperiment *experiment = &report->experiment[i];
    if (!experiment->result) {
      char what[512];
      snprintf(what, sizeof what, "%.80s: %.300s", experiment->name,
               field_text(experiment->wanted, "title"));
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
  FILE *out = report->out;
  if (!report->opens) {
    fputs("<p>Nothing: every trial of every experiment is done.</p>\n", out);
    return true;
  }
  fputs(
      "<div class=\"wide\"><table><thead><tr><th class=\"left\">what</th><th class=\"left\">"
      "state</th><th class=\"left\">why</th><th class=\"left\">command</th></tr></thead><tbody>\n",
      out);
  for (const ReportOpen *o = report->open, *end = o + report->opens; o < end; o++) {
    fputs("<tr><th scope=\"row\" class=\"left\">", out);
    html_text(o->what, out);
    fputs("</th><td class=\"left\">", out);
    html_text(o->state, out);
    fputs("</td><td class=\"left\">", out);
    html_text(o->why, out);
    fputs("</td><td class=\"left\"><code>", out);
    html_text(o->command, out);
    fputs("</code></td></tr>\n", out);
  }
  fputs("</tbody></table></div>\n", out);
  return true;
}

/* ---- results --------------------------------------------------------------------------------- */

/* The line under the title: the second line of table_head. */
static void put_head(const Result *result, FILE *out) {
  char *head = table_text(table_head, result, "\n"), *second = strchr(head, '\n');
  fputs("<p class=\"faint\">", out);
  html_text(second ? second + 1 : head, out);
  fputs("</p>\n", out);
  free(head);
}

static void put_table(const Result *result, FILE *out) {
  Sheet sheet = result->plans       ? coverage_sheet(result)
                : result->self_test ? self_test_sheet(result, SELF_TEST_WHOLE)
                                    : table_sheet(result, TABLE_WHOLE);
  html_sheet(&sheet, !result->plans && !result->self_test, out);
  sheet_free(&sheet);
  char *notes = result->plans
                    ? strdup(coverage_note)
                    : table_text(result->self_test ? self_test_notes : table_notes, result, "");
  CHECK(notes, "no memory for notes");
  html_lines(notes, out);
  free(notes);
}

static void put_labels(const Result *result, FILE *out) {
  Sheet labels = table_labels(result);
  if (labels.rows > 1) {
    fputs("<details><summary>Scores per structure</summary>\n", out);
    html_sheet(&labels, false, out);
    fputs("</details>\n", out);
  }
  sheet_free(&labels);
}

static void put_picture(Report *report, const char *title, const char *path, const char *caption) {
  Error error = {""};
  char whole_caption[640], command[40];
  snprintf(whole_caption, sizeof whole_caption, "%.200s, %.400s", title, caption);
  if (html_picture(path, whole_caption, report->figures + 1, report->out, &error)) {
    report->figures++;
    return;
  }
  snprintf(command, sizeof command, "%s report", home_program());
  report_add_open(report, title, "failed", error.text, command);
}

static void put_plots(Report *report, const ReportExperiment *experiment) {
  const Result *result = experiment->result;
  const char *title = result->title;
  const PlotOf of = {report->store, store_folder(report->store), result, 0};
  for (const PlotKind *kind = plot_kinds; kind < plot_kinds + PLOT_KINDS; kind++) {
    char path[PLOT_PATH], command[320];
    Error error = {""};
    if (!plot_fits(kind, result)) continue;
    if (kind->draw(&of, path, &error)) {
      put_picture(report, title, path, kind->caption);
      continue;
    }
    snprintf(command, sizeof command, "%s plot %s%s%.200s", home_program(), kind->word,
             kind->word[0] ? " " : "", experiment->name);
    bool none = !strncmp(error.text, PLOT_NO_DATA, strlen(PLOT_NO_DATA));
    report_add_open(report, kind->caption, none ? "no data yet" : "failed",
                    error.text + (none ? strlen(PLOT_NO_DATA) : 0), command);
  }
  for (const ReportPicture *p = report->picture, *end = p + report->pictures; p < end; p++)
    if (!strcmp(p->experiment, experiment->name)) put_picture(report, title, p->path, p->caption);
}

/* The paper's rows alone, and how to get ours. */
static void put_missing(const Report *report, const ReportExperiment *experiment) {
  char *command = settings_command(report, experiment, "");
  fputs("<p><b class=\"open\">Nothing is stored yet.</b> This runs it: <code>", report->out);
  html_text(command, report->out);
  fputs("</code></p>\n", report->out);
  free(command);
  Result *wanted = result_of_file(experiment->wanted);
  if (strcmp(wanted->metric, "plan") && wanted->rows) put_table(wanted, report->out);
  result_free(wanted);
}

static bool write_results(Report *report, Error *error) {
  (void)error;
  for (int i = 0; i < report->experiments; i++) {
    const ReportExperiment *experiment = &report->experiment[i];
    const Result *result = experiment->result;
    fputs("<section class=\"result\" id=\"", report->out);
    html_text(experiment->name, report->out);
    fputs("\">\n<h3>", report->out);
    put_title(experiment, report->out);
    fputs("</h3>\n", report->out);
    if (result) {
      put_head(result, report->out);
      put_table(result, report->out);
      put_plots(report, experiment);
      if (!result->plans) put_labels(result, report->out);
    } else {
      put_missing(report, experiment);
    }
    fputs("</section>\n", report->out);
  }
  return true;
}

/* ---- the page -------------------------------------------------------------------------------- */

typedef struct Section {
  const char *id, *title;
  bool (*write)(Report *report, Error *error);
} Section;

static const Section sections[] = {
    {"summary", "Which claims held", summary_write},
    {"results", "Tables and figures", write_results},
    {"open", "Skipped, failed, collapsed, missing", write_open},
    {"papers", "What the papers print, and what contradicts it", papers_write},
    {"configuration", "Configuration", settings_configuration},
    {"environment", "Environment", settings_environment},
};
enum { SECTIONS = sizeof sections / sizeof *sections };

static void put_contents(const Report *report) {
  fputs("<nav>", report->out);
  for (int s = 0; s < SECTIONS; s++)
    fprintf(report->out, "<a href=\"#%s\">%s</a> ", sections[s].id, sections[s].title);
  fputs("</nav>\n<nav class=\"faint\">", report->out);
  for (int i = 0; i < report->experiments; i++) {
    const ReportExperiment *experiment = &report->experiment[i];
    fputs("<a href=\"#", report->out);
    html_text(experiment->name, report->out);
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
  html_print(report->out, "Written %s by harness %s from %s", date,
             built_text((char[BUILT_TEXT]){""}), store_path(report->store));
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
