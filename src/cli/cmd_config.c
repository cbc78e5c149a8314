/* harness config: an experiment's options as they are resolved, and where each comes from. */
#include <string.h>

#include "lua/bind.h"
#include "src/cli/cli.h"
#include "src/data/plan/plan_file.h"
#include "src/machine/document.h"
#include "src/report/option_words.h"
#include "src/report/sheet.h"
#include "src/store/field.h"

enum { WORDS_MAX = 64, KEY_JSON = 1, KEY_DEVICE };

typedef struct Request {
  const char *file;
  char *word[WORDS_MAX], device[100];
  int words;
  bool json;
} Request;

static const struct argp_option options[] = {
    {"device", KEY_DEVICE, "cpu|cuda", 0, "As of `run`", 0},
    {"json", KEY_JSON, 0, 0, "One JSON document", 0},
    {0}};

static bool take(int key, char *value, void *user, Error *error) {
  Request *r = user;
  if (key == KEY_JSON) r->json = true;
  if (key == KEY_DEVICE) snprintf(r->device, sizeof r->device, "device=%.80s", value);
  char *word = key == KEY_DEVICE ? r->device : value;
  if (key == ' ' && !r->file) {
    r->file = value;
    return true;
  }
  if (key != ' ' && key != KEY_DEVICE) return true;
  if (r->words == WORDS_MAX) return fail(error, "at most %d options are taken", WORDS_MAX);
  r->word[r->words++] = word;
  return true;
}

static const Cli cli = {
    "config",
    "FILE [key=value ...]",
    "  harness config experiments/query_count.lua\n"
    "  harness config experiments/modules.lua scale=small lr=0.3\n",
    "Prints every option that an experiment's trials read, its value, and where that comes from: "
    "default (of the scale), the data set's plan, the experiment's base or at.SCALE, the row, or "
    "typed. Of the first row all, of the others what is otherwise there. Nothing is made or run.",
    options,
    take};

static const char *origin_of(const json_t *row, const char *name) {
  const char *from = field_text_if(json_object_get(row, "from"), name);
  return from[0] ? from : "default";
}

/* The value as it is typed; malloced. */
static char *value_of(const char *name, const json_t *value) {
  char *words = option_words(name, value), *text = strdup(words + strlen(name) + 1);
  CHECK(text, "no memory for an option");
  free(words);
  return text;
}

/* first: what it says itself is left out (NULL: nothing). */
static void print_row(const json_t *row, const json_t *first, const json_t *names) {
  const json_t *config = json_object_get(row, "config"), *name;
  int lines = 1;
  size_t i;
  Sheet sheet = sheet_make((int)json_array_size(names) + 1, 3);
  static const char *const heads[] = {"option", "value", "from"};
  for (int k = 0; k < 3; k++) sheet_set(&sheet, 0, k, "%s", heads[k]);
  json_array_foreach((json_t *)(uintptr_t)names, i, name) {
    const char *word = json_string_value(name);
    const json_t *value = json_object_get(config, word);
    if (!value || option_same(value, json_object_get(json_object_get(first, "config"), word)))
      continue;
    char *text = value_of(word, value);
    sheet_set(&sheet, lines, 0, "%s", word);
    sheet_set(&sheet, lines, 1, "%s", text);
    sheet_set(&sheet, lines++, 2, "%s", origin_of(row, word));
    free(text);
  }
  sheet.rows = lines;
  printf("%s%s\n", first ? "\n" : "", field_text(row, "key"));
  if (lines > 1) sheet_fitted(&sheet, true, stdout);
  sheet_free(&sheet);
}

/* The options of every model in their order, so that a reader finds them where help has them. */
static json_t *names_of(const char *home, const json_t *origins, Error *error) {
  json_t *all = experiment_options(home, EVERY_MODEL, error), *names = json_array(), *row, *own;
  size_t i, k;
  json_array_foreach(all, i, row) json_array_append(names, json_object_get(row, "name"));
  json_decref(all);
  json_array_foreach((json_t *)(uintptr_t)origins, i, own) { /* of a model of one's own */
    const char *name;
    json_t *value, *known;
    json_object_foreach(json_object_get(own, "config"), name, value) {
      bool there = !strcmp(name, "model_path") || !strcmp(name, "preprocessing");
      json_array_foreach(names, k, known) there = there || !strcmp(json_string_value(known), name);
      if (!there) json_array_append_new(names, json_string(name));
    }
  }
  return names;
}

static void print_json(const json_t *experiment, const json_t *origins) {
  json_t *rows = json_array(), *row;
  size_t i;
  json_array_foreach((json_t *)(uintptr_t)origins, i, row) {
    json_t *list = json_object(), *value;
    const char *name;
    json_object_foreach(json_object_get(row, "config"), name, value) json_object_set_new(
        list, name, json_pack("{s:O, s:s}", "value", value, "from", origin_of(row, name)));
    json_array_append_new(
        rows, json_pack("{s:O, s:o}", "key", json_object_get(row, "key"), "options", list));
  }
  const DocumentOf of = {field_text(experiment, "experiment"), field_text(experiment, "metric"),
                         NULL};
  document_print(document_make("config", of, json_pack("{s:o}", "rows", rows)), stdout);
}

int command_config(int argc, char **argv) {
  Common common;
  Request request = {.file = NULL};
  Error error = {""};
  json_t *experiment = NULL, *row;
  size_t i;
  cli_parse(&cli, argc, argv, &common, &request);
  if (!request.file) {
    fail(&error, "harness config needs an experiment, such as experiments/query_count.lua");
    return cli_error(EXIT_USAGE, &error);
  }
  if (!experiment_read(common.home, request.file, request.words, request.word, plan_of_data,
                       &experiment, &error))
    return cli_error(EXIT_USAGE, &error);
  const json_t *origins = json_object_get(experiment, "origins");
  if (!origins) {
    json_decref(experiment);
    fail(&error, "%s lists experiments; name one of them", request.file);
    return cli_error(EXIT_USAGE, &error);
  }
  json_t *names = request.json ? NULL : names_of(common.home, origins, &error);
  if (request.json) print_json(experiment, origins);
  json_array_foreach(names ? (json_t *)(uintptr_t)origins : NULL, i, row)
      print_row(row, i ? json_array_get(origins, 0) : NULL, names);
  json_decref(names);
  json_decref(experiment);
  return EXIT_DONE;
}
