/* What is typed behind an experiment, a word a line; and Lua files as experiments and as models. */
#include "lua/bind.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

enum { WORDS = 16 };

static void read_experiment(const char *path, int count, char **words) {
  json_t *document = NULL;
  Error error = {""};
  bool good = experiment_read(fuzz_home(), path, count, words, NULL, &document, &error);
  fuzz_judge(good, &error);
  if (good) json_decref(document);
}

void fuzz_overrides(const uint8_t *data, size_t bytes) {
  char path[512], *text = fuzz_text(data, bytes), *word[WORDS], *rest = text;
  int count = 0;
  for (char *line; count < WORDS && (line = strtok_r(NULL, "\n", &rest));) word[count++] = line;
  snprintf(path, sizeof path, "%s/experiments/query_count.lua", fuzz_home());
  read_experiment(path, count, word);
  free(text);
}

void fuzz_experiment(const uint8_t *data, size_t bytes) {
  char path[512];
  Error error = {""};
  fuzz_write("own.lua", data, bytes);
  snprintf(path, sizeof path, "%s/own.lua", fuzz_folder());
  read_experiment(path, 0, NULL);
  json_t *models = models_listed(fuzz_home(), path, &error);
  fuzz_judge(models != NULL, &error);
  json_decref(models);
}
