#include "src/report/reproduce.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/home.h"
#include "lua/bind.h"
#include "src/data/phantom/phantom.h"
#include "src/report/option_words.h"
#include "src/report/quote.h"
#include "src/report/today.h"
#include "src/store/field.h"

static void put_word(const char *words, FILE *out) {
  fputc(' ', out);
  quote_shell(words, out);
}

/* The same as a word of a command line. */
static void put_option(const char *name, const json_t *value, FILE *out) {
  char *words = option_words(name, value);
  put_word(words, out);
  free(words);
}

/* ---- what rows are compared by --------------------------------------------------------------- */

static bool is_option(const json_t *options, const char *name, size_t length) {
  const json_t *row;
  size_t i;
  json_array_foreach(options, i, row) {
    const char *known = field_text(row, "name");
    if (strlen(known) == length && !strncmp(known, name, length)) return true;
  }
  return false;
}

/* Of the words of a row's key, "unet lr=0.1", the options: each joins the values of its name. */
static void add_axes(const json_t *options, const char *key, json_t *axes) {
  for (const char *word = key; *word; word += strcspn(word, " "), word += *word == ' ') {
    size_t length = strcspn(word, "= "), end = strcspn(word, " ");
    if (word[length] != '=' || !is_option(options, word, length)) continue;
    char name[100];
    snprintf(name, sizeof name, "%.*s", (int)length, word);
    json_t *values = json_object_get(axes, name), *known;
    json_t *value = json_stringn(word + length + 1, end - length - 1);
    bool there = false;
    size_t i;
    if (!values) json_object_set_new(axes, name, json_array());
    values = json_object_get(axes, name);
    json_array_foreach(values, i, known) there = there || json_equal(known, value);
    if (!there) json_array_append(values, value);
    json_decref(value);
  }
}

static json_t *stored_axes(const Reproduce *of) {
  json_t *axes = json_object();
  for (int i = 0; i < of->firsts->count; i++) add_axes(of->options, of->firsts->item[i].key, axes);
  return axes;
}

/* queries=1,2: where the file asks for other values. */
static void put_axes(const Reproduce *of, const json_t *axes, FILE *out) {
  const json_t *row;
  const char *name;
  json_t *values, *asked = json_object();
  size_t i;
  json_array_foreach(json_object_get(of->wanted, "rows"), i, row)
      add_axes(of->options, field_text(row, "key"), asked);
  json_object_foreach((json_t *)(uintptr_t)axes, name, values) {
    if (!of->wanted || json_equal(values, json_object_get(asked, name))) continue;
    put_option(name, values, out);
  }
  json_decref(asked);
}

/* ---- what is otherwise ----------------------------------------------------------------------- */

/* What the file asks for in the row of this key, or in the one that it was multiplied of. */
static const json_t *asked_config(const json_t *wanted, const char *key) {
  const json_t *found = experiment_config(wanted, key), *rows = json_object_get(wanted, "rows");
  const json_t *row;
  size_t i;
  json_array_foreach((json_t *)(uintptr_t)rows, i, row) {
    const char *base = field_text(row, "key");
    size_t length = strlen(base);
    if (!found && !strncmp(base, key, length) && key[length] == ' ')
      found = experiment_config(wanted, base);
  }
  return found ? found : experiment_config(wanted, field_text(json_array_get(rows, 0), "key"));
}

/* key=value of what all rows were given otherwise than their file says. */
static void put_overrides(const Reproduce *of, const json_t *axes, FILE *out) {
  const json_t *row;
  size_t i;
  json_array_foreach(of->options, i, row) {
    const char *name = field_text(row, "name");
    const json_t *value = first_option(&of->firsts->item[0], name);
    bool other = value && firsts_share(of->firsts, name) && !json_object_get(axes, name);
    for (int k = 0; other && k < of->firsts->count; k++) {
      const json_t *asked = asked_config(of->wanted, of->firsts->item[k].key);
      const json_t *today = json_object_get(asked, name);
      other = today && !option_same(today, value);
    }
    if (other && strcmp(name, "fold")) put_option(name, value, out);
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

/* The data's folder when it is not the one that the file asks for by itself, where the file is
 * known; where it lies is no matter. The phantom makes itself. */
static void put_data(const Reproduce *of, FILE *out) {
  const First *trial = &of->firsts->item[0];
  const char *own = json_string_value(first_option(trial, "data_dir"));
  const char *asked = field_text_if(asked_config(of->untyped, trial->key), "data_dir");
  bool made = phantom_named(of->dataset);
  if (!own || !own[0] || (asked[0] ? !strcmp(name_of(own), name_of(asked)) : made)) return;
  const json_t *found = first_option(trial, "data_path");
  put_option("data", found ? found : first_option(trial, "data_dir"), out);
}

static void put_seeds(const Reproduce *of, FILE *out) {
  if (!isnan(of->budget_s))
    fprintf(out, " until=decided budget=%.10gs", of->budget_s);
  else if (!of->wanted || of->seeds != wanted_seeds(of->wanted))
    fprintf(out, " seeds=%d", of->seeds);
  if (of->firsts->item[0].seed > 0) fprintf(out, " first_seed=%d", of->firsts->item[0].seed);
}

static void put_stored(const Reproduce *of, FILE *out) {
  json_t *axes = stored_axes(of);
  bool one = !strchr(of->scale, '+'); /* with several the experiment's file names them */
  if (one && strcmp(of->scale, "quick")) fprintf(out, " scale=%s", of->scale);
  put_data(of, out);
  put_axes(of, axes, out);
  put_seeds(of, out);
  if (of->fold) fprintf(out, " fold=%s", of->fold);
  put_overrides(of, axes, out);
  if (strcmp(of->device, "cpu")) fprintf(out, " --device %s", of->device);
  json_decref(axes);
}

char *reproduce_command(const Reproduce *of) {
  char *command = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&command, &bytes);
  CHECK(out, "no memory for a command");
  fprintf(out, "%s run ", home_program());
  quote_shell(of->file, out);
  if (of->firsts) put_stored(of, out);
  fprintf(out, "%s%s", of->more[0] ? " " : "", of->more);
  CHECK(fclose(out) == 0 && command, "no memory for a command");
  return command;
}

Reproduce reproduce_of(const Result *result, const char *file, const json_t *wanted) {
  const ResultLooks *looks = &result->looks;
  return (Reproduce){.file = file,
                     .wanted = wanted,
                     .scale = result->scale,
                     .dataset = result->dataset,
                     .device = result->device,
                     .seeds = result->seeds,
                     .budget_s = looks->found ? looks->budget_s : NAN,
                     .more = ""};
}

/* ---- of what is stored ----------------------------------------------------------------------- */

/* With the file as it is today; nothing of it is lost where that cannot be read. */
static char *command_of(const char *home, Reproduce *of, const char *experiment) {
  const TodayOf today = {experiment, of->file, of->scale, of->device};
  json_t *wanted = today_read(home, &today, of->firsts->item[0].config);
  json_t *untyped = today_read(home, &today, NULL);
  of->wanted = wanted;
  of->untyped = untyped;
  char *command = reproduce_command(of);
  json_decref(wanted);
  json_decref(untyped);
  return command;
}

static const char file_sql[] = "SELECT e.file FROM plans p JOIN experiments e"
                               " ON e.id = p.experiment_id WHERE p.id = ?1";

char *reproduce_result(Store *store, const char *home, const Result *result) {
  Error unread = {""};
  json_t *rows = NULL, *parameters = json_pack("[I]", (json_int_t)result->plan_id);
  json_t *options = experiment_options(home, EVERY_MODEL, &unread);
  char *command = NULL;
  if (options && store_query(store, file_sql, parameters, &rows, &unread) &&
      json_array_size(rows)) {
    Firsts firsts = firsts_load(store, home, options, result->plan_id);
    Reproduce of = reproduce_of(result, field_text(json_array_get(rows, 0), "file"), NULL);
    of.firsts = &firsts;
    of.options = options;
    if (firsts.count) command = command_of(home, &of, result->experiment);
    firsts_free(&firsts);
  }
  json_decref(rows);
  json_decref(parameters);
  json_decref(options);
  return command;
}

/* Where the trial stands in the plan that was used last. */
static const char trial_sql[] =
    "SELECT e.name, e.file, p.scale, p.dataset, p.device, r.key, t.seed, t.fold, t.config"
    " FROM trials t JOIN cells c ON c.trial_id = t.id JOIN rows r ON r.id = c.row_id"
    " JOIN plans p ON p.id = r.plan_id JOIN experiments e ON e.id = p.experiment_id"
    " WHERE t.hash = ?1 ORDER BY p.used DESC LIMIT 1";

static char *trial_command(const char *home, json_t *options, const json_t *row) {
  char fold[16];
  First first = {field_text(row, "key"), "", field_whole(row, "seed"),
                 json_loads(field_text(row, "config"), 0, NULL)};
  const Firsts firsts = {.item = &first, .count = 1};
  Reproduce of = {.file = field_text(row, "file"),
                  .options = options,
                  .firsts = &firsts,
                  .scale = field_text(row, "scale"),
                  .dataset = field_text(row, "dataset"),
                  .device = field_text(row, "device"),
                  .seeds = 1,
                  .budget_s = NAN,
                  .more = ""};
  snprintf(fold, sizeof fold, "%d", field_whole(row, "fold"));
  if (field_whole(row, "fold") > 0) of.fold = fold;
  char *command = command_of(home, &of, field_text(row, "name"));
  json_decref(first.config);
  return command;
}

char *reproduce_trial(Store *store, const char *home, const char *hash) {
  Error unread = {""};
  json_t *rows = NULL, *parameters = json_pack("[s]", hash);
  json_t *options = experiment_options(home, EVERY_MODEL, &unread);
  char *command = NULL;
  if (options && store_query(store, trial_sql, parameters, &rows, &unread) && json_array_size(rows))
    command = trial_command(home, options, json_array_get(rows, 0));
  json_decref(rows);
  json_decref(parameters);
  json_decref(options);
  return command;
}
