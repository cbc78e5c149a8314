/* Help about what an experiment or a model's file may name: from the tables of ops and blocks, and
 * from the rows that Lua has. */
#include "base/nearest.h"
#include "engine/optimizer.h"
#include "engine/rate_schedule.h"
#include "lua/bind.h"
#include "modules/module.h"

#include <stdlib.h>
#include <string.h>

/* ---- ops and blocks ------------------------------------------------------------------------ */

static void print_option(const Option *o, FILE *out) {
  static const char *const types[] = {"int", "number", "bool", "choice", "list"};
  fprintf(out, "  %-14s %-7s ", o->name, types[o->type]);
  if (o->type == OPTION_CHOICE)
    fprintf(out, "%-10s ", o->choices);
  else if (o->type == OPTION_INTS)
    fprintf(out, "%-10s ", o->ints && *o->ints ? o->ints : "-");
  else
    fprintf(out, "%-10g ", o->fallback);
  fprintf(out, "%s\n", o->doc);
}

static void print_block(const char *name, const char *doc, const Option *options, FILE *out) {
  fprintf(out, "%s: %s\n", name, doc);
  for (const Option *o = options; o && o->name; o++) print_option(o, out);
}

static bool block_help(const char *name, FILE *out) {
  const Module *module = module_find(name);
  if (!module) return false;
  print_block(module->name, module->doc, module->options, out);
  fprintf(out, "  in:  %s\n  out: %s\n", module->in, module->out);
  return true;
}

static bool op_help(const char *name, FILE *out) {
  OpId op = op_find(name);
  if (op == OP_COUNT) return false;
  const Op *o = op_table[op];
  print_block(o->name, o->doc, o->options, out);
  fprintf(out, "  in:  %d", o->min_in);
  if (o->max_in > o->min_in) fprintf(out, " to %d", o->max_in);
  fprintf(out, " value%s\n  out: %d\n", o->max_in == 1 ? "" : "s", o->n_out);
  return true;
}

/* An optimiser or a schedule. */
static bool choice_help(const char *name, FILE *out) {
  const OptimizerRow *o = optimizer_find(name);
  const RateScheduleRow *s = rate_schedule_find(name);
  if (o) print_block(o->name, o->doc, o->options, out);
  if (s) print_block(s->name, s->doc, s->options, out);
  if (o || s) fprintf(out, "  as %s=%s\n", o ? "optimizer" : "schedule", name);
  return o || s;
}

static void list_blocks(FILE *out) {
  fputs(
      "Blocks, in a model's file: m.NAME { inputs, option = value, name = \"scope\" }; `help NAME` "
      "has the options.\nWhat they begin with: m.image (N, D, H, W, channels), m.labels (N, D, H, "
      "W) "
      "while training, m.input { name = \"x\",\ngrid = { D, H, W }, channels = C }, which is noise "
      "in "
      "plans\n\n",
      out);
  for (int i = 0; i < MODULE_COUNT; i++) {
    const Module *m = module_table[i];
    fprintf(out, "%-20s %s\n%-20s   %s -> %s\n", m->name, m->doc, "", m->in, m->out);
  }
}

static void list_ops(FILE *out) {
  fputs("Ops, in a model's file: m.op.NAME { inputs, option = value }; `help NAME` has the "
        "options\n\n",
        out);
  for (int i = 0; i < OP_COUNT; i++)
    fprintf(out, "%-20s %s\n", op_table[i]->name, op_table[i]->doc);
}

/* ---- options and models -------------------------------------------------------------------- */

static const char *text(const json_t *row, const char *key) {
  const char *words = json_string_value(json_object_get(row, key));
  return words ? words : "";
}

static void put_json(const char *before, const json_t *value, FILE *out) {
  char *words = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
  if (value && words) fprintf(out, "%s%s", before, words);
  free(words);
}

/* A word as it is typed. */
static void put_word(const char *before, const json_t *value, FILE *out) {
  fputs(before, out);
  if (json_is_string(value))
    fputs(json_string_value(value), out);
  else
    put_json("", value, out);
}

/* The options by which a row is read or not, each with its value or values. */
static void print_with(const json_t *with, FILE *out) {
  const char *name;
  const json_t *wanted, *value;
  json_object_foreach((json_t *)(uintptr_t)with, name, wanted) {
    fprintf(out, "; read with %s=", name);
    if (!json_is_array(wanted)) put_word("", wanted, out);
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)wanted, i, value) put_word(i ? "," : "", value, out);
    fputs(" alone", out);
  }
}

/* The defaults that go with another option's choice. */
static void print_defaults(const json_t *where, FILE *out) {
  const char *name, *word;
  const json_t *defaults, *value;
  json_object_foreach((json_t *)(uintptr_t)where, name, defaults) {
    json_object_foreach((json_t *)(uintptr_t)defaults, word, value) {
      put_json(", ", value, out);
      fprintf(out, " with %s=%s", name, word);
    }
  }
}

static void print_row(const json_t *row, FILE *out) {
  fprintf(out, "%-18s %s\n%-18s   ", text(row, "name"), text(row, "doc"), "");
  put_json("default ", json_object_get(row, "default"), out);
  put_json(", quick ", json_object_get(row, "quick"), out);
  put_json(", small ", json_object_get(row, "small"), out);
  put_json(", paper ", json_object_get(row, "paper"), out);
  print_defaults(json_object_get(row, "default_where"), out);
  put_json("; from ", json_object_get(row, "min"), out);
  put_json(" to ", json_object_get(row, "max"), out);
  const json_t *choices = json_object_get(row, "choices"), *choice;
  size_t i;
  json_array_foreach(json_object_get(row, "words"), i, choice)
      fprintf(out, ", or %s", json_string_value(choice));
  json_array_foreach((json_t *)(uintptr_t)choices, i, choice)
      fprintf(out, "%s%s", i ? ", " : "; one of ", json_string_value(choice));
  print_with(json_object_get(row, "with"), out);
  if (json_is_true(json_object_get(row, "evaluation"))) fputs("; of evaluation", out);
  fputs("\n", out);
}

static void print_rows(const json_t *rows, FILE *out) {
  const json_t *row;
  size_t i;
  json_array_foreach((json_t *)(uintptr_t)rows, i, row) print_row(row, out);
}

static const json_t *row_called(const json_t *rows, const char *name) {
  const json_t *row;
  size_t i;
  json_array_foreach((json_t *)(uintptr_t)rows, i,
                     row) if (!strcmp(text(row, "name"), name)) return row;
  return NULL;
}

static void print_model(const json_t *model, FILE *out) {
  const char *doc = text(model, "doc");
  fprintf(out, "%s: %s\n", text(model, "name"), doc[0] ? doc : "a model");
  fputs(json_array_size(json_object_get(model, "options"))
            ? "Its options, as key=value, beside those of every experiment (`help options`)\n\n"
            : "It has no options but those of every experiment (`help options`)\n",
        out);
  print_rows(json_object_get(model, "options"), out);
}

static bool file_help(const char *home, const char *path, FILE *out, Error *error) {
  json_t *model = models_listed(home, path, error);
  if (model) print_model(model, out);
  json_decref(model);
  return model != NULL;
}

static void list_options(const json_t *options, FILE *out) {
  fputs("Options of every experiment, as key=value; also scale=quick|small|paper, seeds=N, "
        "folds=N, until=decided budget=2h. "
        "A model has options\nof its own: `help models`, `help MODEL`\n\n",
        out);
  print_rows(options, out);
}

/* "scale", "seeds": of a sweep, no option of its trials. */
static bool key_help(const char *home, const char *word, FILE *out) {
  Error unread = {""};
  json_t *keys = experiment_options(home, SWEEP_KEYS, &unread);
  const json_t *row = row_called(keys, word), *choice;
  size_t i;
  if (row) {
    fprintf(out, "A key of every experiment, %s=", word);
    json_array_foreach(json_object_get(row, "choices"), i, choice)
        fprintf(out, "%s%s", i ? "|" : "", json_string_value(choice));
    if (!json_object_get(row, "choices")) fputs(text(row, "type"), out);
    fprintf(out, ": %s\n", text(row, "doc"));
  }
  json_decref(keys);
  return row != NULL;
}

static void list_models(const json_t *models, FILE *out) {
  const json_t *model;
  size_t i;
  fputs("Models, as model=NAME; `help NAME` has its options\n\n", out);
  json_array_foreach((json_t *)(uintptr_t)models, i, model)
      fprintf(out, "%-20s %s\n", text(model, "name"), text(model, "doc"));
}

/* The option of this name: of every experiment, or each of those that models have, with whose. */
static bool option_help(const json_t *options, const json_t *models, const char *name, FILE *out) {
  const json_t *row = row_called(options, name), *model, *other;
  size_t i, k;
  if (row) {
    fputs("An option of every experiment:\n", out);
    print_row(row, out);
    return true;
  }
  bool found = false;
  json_array_foreach((json_t *)(uintptr_t)models, i, model) {
    row = row_called(json_object_get(model, "options"), name);
    bool told = !row;
    for (k = 0; !told && k < i; k++)
      told =
          json_equal(row, row_called(json_object_get(json_array_get(models, k), "options"), name));
    if (told) continue;
    fprintf(out, "An option of %s", text(model, "name"));
    json_array_foreach(
        (json_t *)(uintptr_t)models, k,
        other) if (k > i) if (json_equal(row, row_called(json_object_get(other, "options"), name)))
        fprintf(out, ", %s", text(other, "name"));
    fputs(":\n", out);
    print_row(row, out);
    found = true;
  }
  return found;
}

/* ---- papers ---------------------------------------------------------------------------------- */

static void list_papers(const json_t *papers, FILE *out) {
  const json_t *paper;
  size_t i;
  fputs("Papers whose tables are here; `harness table --list` lists them, `harness table PAPER N` "
        "prints one\n\n",
        out);
  json_array_foreach((json_t *)(uintptr_t)papers, i, paper)
      fprintf(out, "%-20s %s (%zu table%s)\n", text(paper, "paper"), text(paper, "title"),
              json_array_size(json_object_get(paper, "tables")),
              json_array_size(json_object_get(paper, "tables")) == 1 ? "" : "s");
}

static bool paper_help(const json_t *papers, const char *name, FILE *out) {
  const json_t *paper, *table;
  size_t i, k;
  bool found = false;
  json_array_foreach((json_t *)(uintptr_t)papers, i, paper) {
    if (strcmp(text(paper, "paper"), name)) continue;
    found = true;
    fprintf(out, "A paper: %s (%s)\n", text(paper, "title"), text(paper, "source"));
    json_array_foreach(json_object_get(paper, "tables"), k, table)
        fprintf(out, "  harness table %s %zu%*s %s, %s\n", name, k + 1, k < 9 ? 1 : 0, "",
                text(table, "title"), text(table, "data"));
  }
  return found;
}

static bool ends_with_lua(const char *word) {
  size_t length = strlen(word);
  return length > 4 && !strcmp(word + length - 4, ".lua");
}

static bool about(const json_t *options, const json_t *models, const json_t *papers,
                  const char *word, FILE *out) {
  if (!strcmp(word, "options")) return list_options(options, out), true;
  if (!strcmp(word, "blocks")) return list_blocks(out), true;
  if (!strcmp(word, "ops")) return list_ops(out), true;
  if (!strcmp(word, "models")) return list_models(models, out), true;
  if (!strcmp(word, "papers")) return list_papers(papers, out), true;
  const json_t *model = row_called(models, word);
  if (model) print_model(model, out);
  bool block = block_help(word, out), op = op_help(word, out);
  bool choice = choice_help(word, out);
  bool paper = paper_help(papers, word, out);
  return option_help(options, models, word, out) || model || block || op || choice || paper;
}

bool help_about(const char *home, const char *word, FILE *out, Error *error) {
  if (ends_with_lua(word)) return file_help(home, word, out, error);
  json_t *options = experiment_options(home, NULL, error);
  json_t *models = options ? models_listed(home, NULL, error) : NULL;
  json_t *papers = models ? papers_listed(home, error) : NULL;
  bool found = papers && (about(options, models, papers, word, out) || key_help(home, word, out));
  json_decref(options);
  json_decref(models);
  json_decref(papers);
  return found;
}

Hint help_hint(const char *home, const char *word) {
  const char *names[512];
  int count = 0;
  Error unread = {""};
  json_t *options = experiment_options(home, EVERY_MODEL, &unread);
  json_t *models = models_listed(home, NULL, &unread), *row;
  json_t *papers = papers_listed(home, &unread);
  size_t i;
  for (int m = 0; m < MODULE_COUNT; m++) names[count++] = module_table[m]->name;
  for (int o = 0; o < OP_COUNT; o++) names[count++] = op_table[o]->name;
  for (int o = 0; o < OPTIMIZERS; o++) names[count++] = optimizer_table[o].name;
  for (int s = 0; s < SCHEDULES; s++) names[count++] = rate_schedule_table[s].name;
  json_array_foreach(models, i, row) if (count < 256) names[count++] = text(row, "name");
  json_array_foreach(papers, i, row) if (count < 512) names[count++] = text(row, "paper");
  json_array_foreach(options, i, row) if (count < 512) names[count++] = text(row, "name");
  Hint hint = nearest_hint(word, names, count, NULL);
  json_decref(options);
  json_decref(models);
  json_decref(papers);
  return hint;
}
