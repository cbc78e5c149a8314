#include "src/cli/experiment_files.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_visible(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

/* Of a folder below home; those of its own folders after its own, where deep. */
static void add_folder(const char *home, const char *folder, bool deep, json_t *files) {
  char path[8400];
  struct dirent **entry;
  snprintf(path, sizeof path, "%.4000s/%.4000s", home, folder);
  int count = scandir(path, &entry, is_visible, alphasort);
  for (int pass = 0; pass < (deep ? 2 : 1); pass++)
    for (int i = 0; i < count; i++) {
      const char *name = entry[i]->d_name, *end = strrchr(name, '.');
      snprintf(path, sizeof path, "%.250s/%.255s", folder, name);
      if (pass && !end) add_folder(home, path, false, files);
      if (!pass && end && !strcmp(end, ".lua")) json_array_append_new(files, json_string(path));
    }
  for (int i = 0; i < count; i++) free(entry[i]);
  if (count >= 0) free(entry);
}

json_t *experiment_files(const char *home) {
  json_t *files = json_array();
  add_folder(home, "experiments", true, files);
  return files;
}

const char *experiment_file(const char *home, const char *name, char path[EXPERIMENT_FILE]) {
  char whole[4800];
  snprintf(path, EXPERIMENT_FILE, "experiments/%.500s.lua", name);
  snprintf(whole, sizeof whole, "%.4000s/%s", home, path);
  return access(whole, R_OK) ? NULL : path;
}
