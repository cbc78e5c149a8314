#include "src/cli/described.h"

#include <string.h>

#include "lua/bind.h"
#include "src/cli/cli.h"
#include "src/machine/environment.h"

const Meaning environment_meanings[] = {
    {"HARNESS_DB", "the database (default: harness.db in the folder of results)"},
    {"HARNESS_HOME", "the folder of the program's own lua/, experiments/ and paper/"},
    {"HARNESS_CACHE", "where what is made of data sets goes, as `data preprocess --cache`"},
    {"HARNESS_ISA", "portable, v3, v4 or v4+bf16: no more than that of the processor"},
    {"HARNESS_PYTHON", "the Python of `bench --against pytorch`"},
    {"HARNESS_SAVE_S", "a checkpoint every so many seconds (default 600)"},
    {"NO_COLOR", "no colours, where it is not empty"},
    {NULL, NULL}};

const Meaning exit_meanings[] = {{"0", "ok"},
                                 {"1", "ran but some trials failed"},
                                 {"2", "usage"},
                                 {"3", "environment unfit"},
                                 {"4", "regression, or not as written"},
                                 {"5", "nothing to compare"},
                                 {"75", "interrupted: the same command goes on"},
                                 {NULL, NULL}};

/* What the program says to `harness NAME [PART] --describe`. */
static json_t *ask(const char *name, const char *part, Error *error) {
  const char *words[] = {"/proc/self/exe", name, part ? part : CLI_DESCRIBE,
                         part ? CLI_DESCRIBE : NULL, NULL};
  char *text = environment_command(words, 1 << 18);
  json_error_t wrong;
  json_t *answer = text ? json_loads(text, 0, &wrong) : NULL;
  free(text);
  if (!answer)
    fail(error, "harness %s%s%s does not describe itself", name, part ? " " : "", part ? part : "");
  return answer;
}

/* Its parts go behind it. One that is nothing but parts has no operands. */
static bool add(json_t *all, const Command *command, Error *error) {
  json_t *own = ask(command->name, NULL, error), *part;
  size_t i;
  if (!own) return false;
  json_object_set_new(own, "summary", json_string(command->summary));
  json_array_append_new(all, own);
  json_array_foreach(json_object_get(own, "parts"), i, part) {
    json_t *described_part = ask(command->name, json_string_value(part), error);
    if (!described_part) return false;
    json_array_append_new(all, described_part);
  }
  return true;
}

json_t *described(Error *error) {
  json_t *all = json_array();
  for (int i = 0; i < command_count; i++) {
    if (!commands[i].summary || add(all, &commands[i], error)) continue;
    json_decref(all);
    return NULL;
  }
  return all;
}

json_t *described_keys(const char *home, Error *error) {
  json_t *keys = experiment_options(home, SWEEP_KEYS, error);
  json_t *options = keys ? experiment_options(home, EVERY_MODEL, error) : NULL;
  if (!options) {
    json_decref(keys);
    return NULL;
  }
  json_array_extend(keys, options);
  json_decref(options);
  return keys;
}
