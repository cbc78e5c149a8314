/* How results were made: options that differ from their defaults, the command that asks for the
 * same again, the machines and builds. */
#include <math.h>
#include <string.h>

#include "src/report/html.h"
#include "src/report/quote.h"
#include "src/report/report.h"
#include "src/store/field.h"

/* Equal as an option: 1 is 1.0, and a number survives its way through a text. */
static bool same(const json_t *a, const json_t *b) {
  if (json_is_number(a) && json_is_number(b)) {
    double x = json_number_value(a), y = json_number_value(b);
    return fabs(x - y) <= 1e-12 * fabs(x);
  }
  if (!json_is_array(a) || json_array_size(a) != json_array_size(b)) return json_equal(a, b);
  for (size_t i = 0; i < json_array_size(a); i++)
    if (!same(json_array_get(a, i), json_array_get(b, i))) return false;
  return true;
}

/* As it is typed: 0.1, fsad, 16,32,64; lists of lists as JSON. */
static void put_value(const json_t *value, FILE *out) {
  const json_t *item;
  size_t i;
  if (json_is_array(value) && !json_is_array(json_array_get(value, 0))) {
    json_array_foreach(value, i, item) {
      if (i) fputc(',', out);
      put_value(item, out);
    }
    return;
  }
  if (json_is_real(value)) {
    fprintf(out, "%.10g", json_real_value(value));
    return;
  }
  char *words = json_is_string(value)
                    ? strdup(json_string_value(value))
                    : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(10));
  fputs(words ? words : "-", out);
  free(words);
}

/* name=value, malloced. */
static char *option_words(const char *name, const json_t *value) {
  char *words = NULL;
  size_t bytes = 0;
  FILE *memory = open_memstream(&words, &bytes);
  CHECK(memory, "no memory for an option");
  fprintf(memory, "%s=", name);
  put_value(value, memory);
  CHECK(fclose(memory) == 0 && words, "no memory for an option");
  return words;
}

/* The same as a word of a command line. */
static void put_option(const char *name, const json_t *value, FILE *out) {
  char *words = option_words(name, value);
  fputc(' ', out);
  quote_shell(words, out);
  free(words);
}

/* ---- stored configurations ----------------------------------------------------------------------
 */

static const char configs_sql[] =
    "SELECT r.key, r.label, r.position, t.seed, t.config FROM rows r"
    " JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id"
    " WHERE r.plan_id = ?1 ORDER BY r.position, t.fold, t.seed";

/* Trials of the result's plan, "config" parsed. An empty list where that fails. */
static json_t *load_configs(Store *store, const json_t *result) {
  Error error = {""};
  json_t *trials = NULL, *trial;
  json_t *parameters = json_pack("[O]", json_object_get(result, "plan_id"));
  if (!store_query(store, configs_sql, parameters, &trials, &error)) trials = json_array();
  json_decref(parameters);
  size_t i;
  json_array_foreach(trials, i, trial) {
    json_t *config = json_loads(field_text(trial, "config"), 0, NULL);
    json_object_set_new(trial, "config", config ? config : json_object());
  }
  return trials;
}

/* The first trial of each row. */
static json_t *first_of_rows(const json_t *trials) {
  json_t *firsts = json_array(), *trial;
  size_t i;
  int position = -1;
  json_array_foreach(trials, i, trial) {
    if (field_whole(trial, "position") == position) continue;
    position = field_whole(trial, "position");
    json_array_append(firsts, trial);
  }
  return firsts;
}

static const json_t *option(const json_t *trial, const char *name) {
  return json_object_get(json_object_get(trial, "config"), name);
}

/* All rows have the same value. */
static bool common(const json_t *firsts, const char *name) {
  for (size_t i = 1; i < json_array_size(firsts); i++)
    if (!same(option(json_array_get(firsts, 0), name), option(json_array_get(firsts, i), name)))
      return false;
  return json_array_size(firsts) > 0;
}

/* ---- the command --------------------------------------------------------------------------------
 */

/* The configuration that the experiment's file asks for in a row. */
static const json_t *wanted_config(const json_t *wanted, const char *key) {
  const json_t *cell;
  size_t i;
  json_array_foreach(json_object_get(wanted, "cells"), i, cell) {
    const json_t *row =
        json_array_get(json_object_get(wanted, "rows"), (size_t)field_whole(cell, "row"));
    if (!strcmp(field_text(row, "key"), key)) return json_object_get(cell, "config");
  }
  return NULL;
}

/* key=value of what all rows were given otherwise than their file says. */
static void put_overrides(const Report *report, const json_t *firsts, const json_t *wanted,
                          FILE *out) {
  const json_t *row;
  size_t i, k;
  json_array_foreach(report->options, i, row) {
    const char *name = field_text(row, "name");
    const json_t *value = option(json_array_get(firsts, 0), name), *first;
    bool other = value && common(firsts, name);
    json_array_foreach(firsts, k, first) {
      const json_t *asked = json_object_get(wanted_config(wanted, field_text(first, "key")), name);
      other = other && asked && !same(asked, value);
    }
    if (!other) continue;
    put_option(name, value, out);
  }
}

static int wanted_seeds(const json_t *wanted) {
  int most = 0;
  const json_t *cell;
  size_t i;
  json_array_foreach(json_object_get(wanted, "cells"), i, cell) most =
      field_whole(cell, "seed") + 1 > most ? field_whole(cell, "seed") + 1 : most;
  return most;
}

static const char *name_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* The data's folder when it is not the one that the file asks for, where the file is known; where
 * it lies is no matter. The phantom makes itself. */
static void put_data(const json_t *trial, const json_t *result, const json_t *wanted, FILE *out) {
  const char *own = json_string_value(option(trial, "data_dir"));
  const char *asked = field_text(wanted_config(wanted, field_text(trial, "key")), "data_dir");
  bool made = !strcmp(field_text(result, "dataset"), "phantom");
  if (!own || !own[0] || (asked[0] ? !strcmp(name_of(own), name_of(asked)) : made)) return;
  const json_t *found = option(trial, "data_path");
  put_option("data", found ? found : option(trial, "data_dir"), out);
}

static void put_stored(const Report *report, const json_t *experiment, const json_t *result,
                       FILE *out) {
  const json_t *wanted = json_object_get(experiment, "wanted");
  json_t *trials = load_configs(report->store, result), *firsts = first_of_rows(trials);
  bool one = !strchr(field_text(result, "scale"),
                     '+'); /* with several scales the experiment's file names them */
  if (one && strcmp(field_text(result, "scale"), "quick"))
    fprintf(out, " scale=%s", field_text(result, "scale"));
  put_data(json_array_get(firsts, 0), result, wanted, out);
  if (json_is_object(wanted) && field_whole(result, "seeds") != wanted_seeds(wanted))
    fprintf(out, " seeds=%d", field_whole(result, "seeds"));
  put_overrides(report, firsts, wanted, out);
  if (strcmp(field_text(result, "device"), "cpu"))
    fprintf(out, " --device %s", field_text(result, "device"));
  json_decref(firsts);
  json_decref(trials);
}

char *settings_command(const Report *report, const json_t *experiment, const char *more) {
  char *command = NULL;
  size_t bytes = 0;
  const json_t *result = json_object_get(experiment, "result");
  FILE *out = open_memstream(&command, &bytes);
  CHECK(out, "no memory for a command");
  fputs("./harness run ", out);
  quote_shell(field_text(experiment, "file"), out);
  if (json_is_object(result)) put_stored(report, experiment, result, out);
  fprintf(out, "%s%s", more[0] ? " " : "", more);
  CHECK(fclose(out) == 0 && command, "no memory for a command");
  return command;
}

/* ---- configuration ------------------------------------------------------------------------------
 */

/* The option's default at the scale. */
static const json_t *default_of(const json_t *row, const char *scale) {
  const json_t *own = json_object_get(row, scale);
  return own && !json_is_null(own) ? own : json_object_get(row, "default");
}

/* "key = value" of what differs from the defaults: what all rows share, or what they do not. */
static void put_differences(const Report *report, const json_t *firsts, const json_t *trial,
                            const char *scale, bool shared) {
  bool scales = !common(firsts, "scale"); /* then rows differ by their defaults: not listed */
  const char *own = json_string_value(option(trial, "scale"));
  const json_t *row;
  size_t i;
  int count = 0;
  json_array_foreach(report->options, i, row) {
    const char *name = field_text(row, "name");
    const json_t *value = option(trial, name);
    bool all = common(firsts, name);
    if (!value || all != shared) continue;
    if ((all || scales) && same(value, default_of(row, scales && own ? own : scale))) continue;
    char *words = option_words(name, value);
    fputs(count++ ? " <code>" : "<code>", report->out);
    html_text(words, report->out);
    fputs("</code>", report->out);
    free(words);
  }
  if (!count) fputs("-", report->out);
}

static void put_line(const Report *report, const char *label, const json_t *firsts,
                     const json_t *trial, const char *scale, bool shared) {
  fputs("<tr><th scope=\"row\" class=\"left\">", report->out);
  html_text(label, report->out);
  fputs("</th><td class=\"left\">", report->out);
  put_differences(report, firsts, trial, scale, shared);
  fputs("</td></tr>\n", report->out);
}

static void put_whole(FILE *out, const json_t *trial) {
  char *config = json_dumps(json_object_get(trial, "config"),
                            JSON_INDENT(1) | JSON_SORT_KEYS | JSON_REAL_PRECISION(10));
  fputs("<details><summary>Whole configuration of ", out);
  html_print(out, "%s, seed %d", field_text(trial, "label"), field_whole(trial, "seed"));
  fputs("</summary><pre>", out);
  html_text(config ? config : "", out);
  fputs("</pre></details>\n", out);
  free(config);
}

static void put_configuration(const Report *report, const json_t *experiment,
                              const json_t *result) {
  json_t *trials = load_configs(report->store, result), *firsts = first_of_rows(trials), *trial;
  const char *scale = field_text(result, "scale");
  size_t i;
  char *command = settings_command(report, experiment, "");
  fputs("<h3>", report->out);
  html_print(report->out, "%s: %s", field_text(experiment, "name"), field_text(result, "title"));
  fputs("</h3>\n<p>Asked for by <code>", report->out);
  html_text(command, report->out);
  fputs("</code></p>\n<div class=\"wide config\"><table><thead><tr><th class=\"left\">row</th>"
        "<th class=\"left\">options that differ from the defaults at this scale, or between rows"
        "</th></tr></thead><tbody>\n",
        report->out);
  put_line(report, "all rows", firsts, json_array_get(firsts, 0), scale, true);
  json_array_foreach(firsts, i, trial)
      put_line(report, field_text(trial, "label"), firsts, trial, scale, false);
  fputs("</tbody></table></div>\n", report->out);
  if (json_array_size(firsts)) put_whole(report->out, json_array_get(firsts, 0));
  free(command);
  json_decref(firsts);
  json_decref(trials);
}

bool settings_configuration(Report *report, Error *error) {
  (void)error;
  const json_t *experiment;
  size_t i;
  fputs("<p class=\"faint\">A row's whole configuration is the first row's with the row's own "
        "options in place; seeds differ in <code>seed</code> alone. <code>./harness help options"
        "</code> says what each means.</p>\n",
        report->out);
  json_array_foreach(report->experiments, i, experiment) {
    const json_t *result = json_object_get(experiment, "result");
    if (json_is_object(result)) put_configuration(report, experiment, result);
  }
  return true;
}

/* ---- environment --------------------------------------------------------------------------------
 */

/* ?1: JSON array of the plans on the page. */
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

static void put_device(FILE *out, const json_t *e) {
  char line[1024];
  if (!field_text(e, "gpu")[0]) {
    put_fact(out, "device", field_text(e, "device"));
    return;
  }
  snprintf(line, sizeof line, "%s: %s, compute capability %s, %.1f GiB, driver %s; %s%s",
           field_text(e, "device"), field_text(e, "gpu"), field_text(e, "gpu_capability"),
           json_number_value(json_object_get(e, "gpu_bytes")) / 0x1p30, field_text(e, "gpu_driver"),
           field_text(e, "gpu_libraries"),
           field_whole(e, "deterministic") ? "; --deterministic" : "");
  put_fact(out, "device", line);
}

static void put_environment(FILE *out, const json_t *e) {
  char line[1024];
  double memory = json_number_value(json_object_get(e, "memory_bytes"));
  double wall = json_number_value(json_object_get(e, "wall_s"));
  fputs("<div class=\"wide\"><table><tbody>\n", out);
  snprintf(line, sizeof line, "%d, %.2f hours in all, %.16s to %.16s", field_whole(e, "trials"),
           wall / 3600, field_text(e, "first"), field_text(e, "last"));
  put_fact(out, "trials that count", line);
  snprintf(line, sizeof line, "%s, %d cores, %.1f GiB", field_text(e, "cpu"),
           field_whole(e, "cores"), memory / 0x1p30);
  put_fact(out, "machine", line);
  put_device(out, e);
  put_fact(out, "system", field_text(e, "kernel"));
  snprintf(line, sizeof line, "%s, build %s", field_text(e, "version"),
           field_text(e, "binary_hash"));
  put_fact(out, "harness", line);
  snprintf(line, sizeof line, "%s%s", field_text(e, "commit_hash"),
           field_whole(e, "dirty") ? ", modified" : "");
  put_fact(out, "commit", line);
  snprintf(line, sizeof line, "%s %s", field_text(e, "compiler"), field_text(e, "flags"));
  put_fact(out, "compiler", line);
  list_libraries(field_text(e, "libraries"), line, sizeof line);
  put_fact(out, "libraries", line);
  fputs("</tbody></table></div>\n", out);
}

bool settings_environment(Report *report, Error *error) {
  const json_t *experiment, *environment;
  json_t *plans = json_array(), *environments;
  size_t i;
  json_array_foreach(report->experiments, i, experiment) {
    json_t *plan = json_object_get(json_object_get(experiment, "result"), "plan_id");
    if (plan) json_array_append(plans, plan);
  }
  char *list = json_dumps(plans, JSON_COMPACT);
  json_t *parameters = json_pack("[s]", list);
  bool good = store_query(report->store, environments_sql, parameters, &environments, error);
  json_decref(parameters);
  json_decref(plans);
  free(list);
  if (!good) return false;
  if (json_array_size(environments) == 0) fputs("<p>No trial is done yet.</p>\n", report->out);
  json_array_foreach(environments, i, environment) put_environment(report->out, environment);
  json_decref(environments);
  return true;
}
