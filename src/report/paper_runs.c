#include "src/report/paper_runs.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/bind.h"
#include "src/store/field.h"

/* The file has the word somewhere: others need not be run. */
static bool mentions(const char *path, const char *word) {
  char *text = NULL;
  size_t room = 0;
  FILE *file = fopen(path, "r");
  bool found = file && getdelim(&text, &room, 0, file) > 0 && strstr(text, word);
  if (file) fclose(file);
  free(text);
  return found;
}

static void add_run(const char *home, const char *file, const char *word, json_t *runs) {
  char path[8400];
  json_t *document = NULL, *keys = json_array(), *row;
  size_t i;
  Error unread = {""};
  snprintf(path, sizeof path, "%.4000s/%.4000s", home, file);
  if (mentions(path, word) && experiment_read(home, path, 0, NULL, NULL, &document, &unread) &&
      json_is_integer(json_object_get(document, "table"))) {
    json_array_foreach(json_object_get(document, "rows"), i, row)
        json_array_append(keys, json_object_get(row, "key"));
    json_array_append_new(runs, json_pack("{s:s,s:O,s:O,s:O}", "file", file, "model",
                                          json_object_get(document, "model"), "table",
                                          json_object_get(document, "table"), "keys", keys));
  }
  json_decref(keys);
  json_decref(document);
}

static int is_visible(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

/* deep: also what lies in the folder's folders. */
static void add_folder(const char *home, const char *folder, const char *word, bool deep,
                       json_t *runs) {
  char path[8400];
  struct dirent **entry;
  snprintf(path, sizeof path, "%.4000s/%.4000s", home, folder);
  int count = scandir(path, &entry, is_visible, alphasort);
  for (int i = 0; i < count; i++) {
    char file[4300];
    const char *end = strrchr(entry[i]->d_name, '.');
    snprintf(file, sizeof file, "%.4000s/%.255s", folder, entry[i]->d_name);
    if (end && !strcmp(end, ".lua"))
      add_run(home, file, word, runs);
    else if (deep && !end)
      add_folder(home, file, word, false, runs);
    free(entry[i]);
  }
  if (count >= 0) free(entry);
}

json_t *paper_runs(const char *home, const char *paper) {
  json_t *runs = json_array();
  add_folder(home, "experiments", paper ? paper : "paper", true, runs);
  return runs;
}

static int rows_in(const json_t *table, const json_t *keys) {
  const json_t *row, *key;
  size_t i, k;
  int count = 0;
  json_array_foreach(json_object_get(table, "rows"), i, row)
      json_array_foreach((json_t *)(uintptr_t)keys, k, key) count +=
      json_equal(key, json_object_get(row, "key"));
  return count;
}

json_t *paper_runs_of(const json_t *runs, const json_t *table) {
  json_t *own = json_array();
  const json_t *run;
  size_t i;
  json_array_foreach((json_t *)(uintptr_t)runs, i, run) {
    if (strcmp(field_text(run, "model"), field_text(table, "name")) ||
        field_whole(run, "table") != field_whole(table, "table"))
      continue;
    json_array_append_new(own, json_pack("{s:s,s:i}", "experiment", field_text(run, "file"), "rows",
                                         rows_in(table, json_object_get(run, "keys"))));
  }
  return own;
}
