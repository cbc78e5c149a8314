/* How results were made: options that differ from their defaults, the command that asks for the
 * same again, the machines and builds. */
#include <math.h>
#include <string.h>

#include "base/home.h"
#include "lua/bind.h"
#include "src/data/phantom/phantom.h"
#include "src/report/firsts.h"
#include "src/report/html.h"
#include "src/report/option_words.h"
#include "src/report/quote.h"
#include "src/report/report.h"
#include "src/report/reproduce.h"
#include "src/report/today.h"
#include "src/store/field.h"

char *settings_command(const Report *report, const ReportExperiment *experiment, const char *more) {
  const Result *result = experiment->result;
  if (!result) {
    const Reproduce nothing = {.file = experiment->file, .more = more};
    return reproduce_command(&nothing);
  }
  Firsts firsts = firsts_load(report->store, report->home, report->options, result->plan_id);
  Reproduce of = reproduce_of(result, experiment->file, experiment->wanted);
  const TodayOf today = {result->experiment, of.file, of.scale, of.device};
  json_t *untyped = today_read(report->home, &today, NULL);
  of.untyped = untyped;
  of.firsts = &firsts;
  of.options = report->options;
  of.more = more;
  char *command = reproduce_command(&of);
  firsts_free(&firsts);
  json_decref(untyped);
  return command;
}

/* ---- configuration --------------------------------------------------------------------------- */

/* The option's default at the scale. */
static const json_t *default_of(const json_t *row, const char *scale) {
  const json_t *own = json_object_get(row, scale);
  return own && !json_is_null(own) ? own : json_object_get(row, "default");
}

/* "key = value" of what differs from the defaults: what all rows share, or what they do not. */
static void put_differences(const Report *report, const Firsts *firsts, const First *trial,
                            const char *scale, bool shared) {
  bool scales = !firsts_share(firsts, "scale"); /* then rows differ by their defaults: not listed */
  const char *own = json_string_value(first_option(trial, "scale"));
  const json_t *row;
  size_t i;
  int count = 0;
  json_array_foreach(report->options, i, row) {
    const char *name = field_text(row, "name");
    const json_t *value = first_option(trial, name);
    bool all = firsts_share(firsts, name);
    if (!value || all != shared) continue;
    if ((all || scales) && option_same(value, default_of(row, scales && own ? own : scale)))
      continue;
    char *words = option_words(name, value);
    fputs(count++ ? " <code>" : "<code>", report->out);
    html_text(words, report->out);
    fputs("</code>", report->out);
    free(words);
  }
  if (!count) fputs("-", report->out);
}

static void put_line(const Report *report, const char *label, const Firsts *firsts,
                     const First *trial, const char *scale, bool shared) {
  fputs("<tr><th scope=\"row\" class=\"left\">", report->out);
  html_text(label, report->out);
  fputs("</th><td class=\"left\">", report->out);
  put_differences(report, firsts, trial, scale, shared);
  fputs("</td></tr>\n", report->out);
}

static void put_whole(FILE *out, const First *trial) {
  char *config =
      json_dumps(trial->config, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_REAL_PRECISION(10));
  fputs("<details><summary>Whole configuration of ", out);
  html_print(out, "%s, seed %d", trial->label, trial->seed);
  fputs("</summary><pre>", out);
  html_text(config ? config : "", out);
  fputs("</pre></details>\n", out);
  free(config);
}

static void put_configuration(const Report *report, const ReportExperiment *experiment) {
  const Result *result = experiment->result;
  Firsts firsts = firsts_load(report->store, report->home, report->options, result->plan_id);
  char *command = settings_command(report, experiment, "");
  fputs("<h3>", report->out);
  html_print(report->out, "%s: %s", experiment->name, result->title);
  fputs("</h3>\n<p>Asked for by <code>", report->out);
  html_text(command, report->out);
  fputs("</code></p>\n<div class=\"wide config\"><table><thead><tr><th class=\"left\">row</th>"
        "<th class=\"left\">options that differ from the defaults at this scale, or between rows"
        "</th></tr></thead><tbody>\n",
        report->out);
  put_line(report, "all rows", &firsts, &firsts.item[0], result->scale, true);
  for (int i = 0; i < firsts.count; i++)
    put_line(report, firsts.item[i].label, &firsts, &firsts.item[i], result->scale, false);
  fputs("</tbody></table></div>\n", report->out);
  if (firsts.count) put_whole(report->out, &firsts.item[0]);
  free(command);
  firsts_free(&firsts);
}

bool settings_configuration(Report *report, Error *error) {
  (void)error;
  fprintf(report->out,
          "<p class=\"faint\">A row's whole configuration is the first row's with the row's own "
          "options in place; seeds differ in <code>seed</code> alone. <code>%s help options</code> "
          "says what each means.</p>\n",
          home_program());
  for (int i = 0; i < report->experiments; i++)
    if (report->experiment[i].result) put_configuration(report, &report->experiment[i]);
  return true;
}

/* ---- environment ----------------------------------------------------------------------------- */

/* ?1: JSON array of the plan_ids on the page. */
static const char environments_sql[] =
    "WITH counted AS (SELECT DISTINCT v.attempt_id, t.device FROM rows r"
    "  JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id"
    "  JOIN v_attempt v ON v.trial_id = t.id"
    "  WHERE r.plan_id IN (SELECT value FROM json_each(?1)))"
    " SELECT n.version, n.commit_hash, n.dirty, n.binary_hash, n.compiler, n.flags, n.libraries,"
    "  n.cpu, n.cores, n.memory_bytes, n.kernel, n.gpu, n.gpu_driver, n.gpu_capability,"
    "  n.gpu_bytes, n.gpu_libraries, n.deterministic, k.device, count(*) AS trials,"
    "  sum(a.wall_s) AS wall_s, min(a.started_at) AS first, max(a.ended_at) AS last"
    " FROM counted k JOIN attempts a ON a.id = k.attempt_id"
    " JOIN environments n ON n.id = a.environment_id GROUP BY n.id, k.device ORDER BY n.id";

static void put_fact(FILE *out, const char *name, const char *value) {
  fprintf(out, "<tr><th scope=\"row\" class=\"left\">%s</th><td class=\"left\">", name);
  html_text(value[0] ? value : "-", out);
  fputs("</td></tr>\n", out);
}

/* {"libdnnl":"2.6.3",...} as "libdnnl 2.6.3, ..." */
static void list_libraries(const char *source, char *list, size_t bytes) {
  json_t *libraries = json_loads(source, 0, NULL), *version;
  const char *name;
  size_t used = 0;
  list[0] = 0;
  json_object_foreach(libraries, name, version) {
    if (used < bytes)
      used += (size_t)snprintf(list + used, bytes - used, "%s%s %s", used ? ", " : "", name,
                               json_string_value(version) ? json_string_value(version) : "?");
  }
  json_decref(libraries);
}

typedef struct Machine {
  const char *version, *commit_hash, *binary_hash, *compiler, *flags, *libraries, *cpu, *kernel;
  const char *gpu, *gpu_driver, *gpu_capability, *gpu_libraries, *device, *first, *last;
  int dirty, cores, deterministic, trials;
  double memory_bytes, gpu_bytes, wall_s;
} Machine;

static const Column machine_columns[] = {COLUMN(Machine, version),
                                         COLUMN(Machine, commit_hash),
                                         COLUMN(Machine, dirty),
                                         COLUMN(Machine, binary_hash),
                                         COLUMN(Machine, compiler),
                                         COLUMN(Machine, flags),
                                         COLUMN(Machine, libraries),
                                         COLUMN(Machine, cpu),
                                         COLUMN(Machine, cores),
                                         COLUMN(Machine, memory_bytes),
                                         COLUMN(Machine, kernel),
                                         COLUMN(Machine, gpu),
                                         COLUMN(Machine, gpu_driver),
                                         COLUMN(Machine, gpu_capability),
                                         COLUMN(Machine, gpu_bytes),
                                         COLUMN(Machine, gpu_libraries),
                                         COLUMN(Machine, deterministic),
                                         COLUMN(Machine, device),
                                         COLUMN(Machine, trials),
                                         COLUMN(Machine, wall_s),
                                         COLUMN(Machine, first),
                                         COLUMN(Machine, last),
                                         {0}};

static void put_device(FILE *out, const Machine *m) {
  char line[1024];
  if (!m->gpu[0]) {
    put_fact(out, "device", m->device);
    return;
  }
  snprintf(line, sizeof line, "%s: %s, compute capability %s, %.1f GiB, driver %s; %s%s", m->device,
           m->gpu, m->gpu_capability, m->gpu_bytes / 0x1p30, m->gpu_driver, m->gpu_libraries,
           m->deterministic ? "; --deterministic" : "");
  put_fact(out, "device", line);
}

static void put_environment(FILE *out, const Machine *m) {
  char line[1024];
  fputs("<div class=\"wide\"><table><tbody>\n", out);
  snprintf(line, sizeof line, "%d, %.2f hours in all, %.16s to %.16s", m->trials,
           (isnan(m->wall_s) ? 0 : m->wall_s) / 3600, m->first, m->last);
  put_fact(out, "trials that count", line);
  snprintf(line, sizeof line, "%s, %d cores, %.1f GiB", m->cpu, m->cores, m->memory_bytes / 0x1p30);
  put_fact(out, "machine", line);
  put_device(out, m);
  put_fact(out, "system", m->kernel);
  snprintf(line, sizeof line, "%s, build %s", m->version, m->binary_hash);
  put_fact(out, "harness", line);
  snprintf(line, sizeof line, "%s%s", m->commit_hash, m->dirty ? ", modified" : "");
  put_fact(out, "commit", line);
  snprintf(line, sizeof line, "%s %s", m->compiler, m->flags);
  put_fact(out, "compiler", line);
  list_libraries(m->libraries, line, sizeof line);
  put_fact(out, "libraries", line);
  fputs("</tbody></table></div>\n", out);
}

bool settings_environment(Report *report, Error *error) {
  json_t *ids = json_array();
  for (int i = 0; i < report->experiments; i++)
    if (report->experiment[i].result)
      json_array_append_new(ids, json_integer(report->experiment[i].result->plan_id));
  char *list = json_dumps(ids, JSON_COMPACT);
  Rows rows;
  bool good = store_rows(report->store, environments_sql, json_pack("[s]", list), machine_columns,
                         sizeof(Machine), &rows, error);
  json_decref(ids);
  free(list);
  if (!good) return false;
  if (!rows.count) fputs("<p>No trial is done yet.</p>\n", report->out);
  for (int i = 0; i < rows.count; i++) put_environment(report->out, (Machine *)rows.row + i);
  rows_free(&rows);
  return true;
}
