#include "src/cli/experiment_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/nearest.h"

static int is_visible(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

/* Of a folder of HOME's experiments, "" or "masksam/"; those of its own folders after its own,
 * where deep. */
static void add_folder(const char *home, const char *folder, bool deep, json_t *names) {
  char path[8400];
  struct dirent **entry;
  snprintf(path, sizeof path, "%.4000s/experiments/%.4000s", home, folder);
  int count = scandir(path, &entry, is_visible, alphasort);
  for (int pass = 0; pass < (deep ? 2 : 1); pass++)
    for (int i = 0; i < count; i++) {
      const char *name = entry[i]->d_name, *end = strrchr(name, '.');
      int length = (int)(end ? (size_t)(end - name) : strlen(name));
      snprintf(path, sizeof path, "%.250s%.*s%s", folder, length, name, pass ? "/" : "");
      if (pass && !end) add_folder(home, path, false, names);
      if (!pass && end && !strcmp(end, ".lua")) json_array_append_new(names, json_string(path));
    }
  for (int i = 0; i < count; i++) free(entry[i]);
  if (count >= 0) free(entry);
}

json_t *experiment_names(const char *home) {
  json_t *names = json_array();
  add_folder(home, "", true, names);
  return names;
}

const char *experiment_file(const char *home, const char *name, char path[EXPERIMENT_FILE]) {
  char whole[4800];
  snprintf(path, EXPERIMENT_FILE, "experiments/%.500s.lua", name);
  snprintf(whole, sizeof whole, "%.4000s/%s", home, path);
  return access(whole, R_OK) ? NULL : path;
}

static bool is_file(const char *path) {
  struct stat state;
  return access(path, R_OK) == 0 && stat(path, &state) == 0 && !S_ISDIR(state.st_mode);
}

/* None is called so: the name that was meant, where a name and no file was typed. */
static bool refuse(const char *home, const char *typed, Error *error) {
  const char *names[128];
  if (strstr(typed, ".lua") || strstr(typed, ".json"))
    return fail(error, "%s: cannot read the experiment: %s", typed, strerror(errno));
  json_t *held = experiment_names(home), *item;
  size_t i;
  int count = 0;
  json_array_foreach(held, i, item) if (count < 128) names[count++] = json_string_value(item);
  fail(error, "%s: no file and no experiment is called so%s", typed,
       nearest_hint(typed, names, count, "`harness table --list` names them").text);
  json_decref(held);
  return false;
}

bool experiment_meant(const char *home, const char *typed, char path[EXPERIMENT_PATH],
                      Error *error) {
  static const char *const forms[] = {"%.0s%.4000s", "%.4000s/%.600s", "%.4000s/experiments/%.600s",
                                      "%.4000s/experiments/%.600s.lua"};
  for (int i = 0; i < 4; i++) {
    snprintf(path, EXPERIMENT_PATH, forms[i], home, typed); /* NOLINT: formats are ours */
    if (is_file(path)) return true;
  }
  errno = ENOENT;
  if (access(typed, F_OK) == 0) errno = access(typed, R_OK) ? errno : EISDIR;
  return refuse(home, typed, error);
}
