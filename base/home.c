#include "base/home.h"

#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The folder of the program's file. */
static bool program_folder(char folder[PATH_MAX]) {
  char self[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length <= 0) return false;
  self[length] = 0;
  strcpy(folder, dirname(self));
  return true;
}

/* The folder above `name` or above a folder in it; false: the program lies elsewhere. */
static bool above(const char *name, int depth, char home[HOME_BYTES]) {
  char folder[PATH_MAX], *at = folder;
  if (!program_folder(folder)) return false;
  for (int i = 0; i <= depth; i++, at = dirname(at)) {
    const char *slash = strrchr(at, '/');
    if (!slash || strcmp(slash + 1, name)) continue;
    snprintf(home, HOME_BYTES, "%.4000s", dirname(at));
    return true;
  }
  return false;
}

/* By where the program lies, not by HARNESS_HOME: whose Lua it reads does not make it another. */
static bool installed(char share[HOME_BYTES]) {
  char prefix[HOME_BYTES], model[HOME_BYTES + 64];
  if (!above("bin", 0, prefix)) return false;
  snprintf(share, HOME_BYTES, "%.4000s%sshare/harness", prefix, strcmp(prefix, "/") ? "/" : "");
  snprintf(model, sizeof model, "%s/lua/harness/model.lua", share);
  return access(model, F_OK) == 0;
}

void home_find(char home[HOME_BYTES]) {
  const char *given = getenv("HARNESS_HOME");
  if (given && given[0])
    snprintf(home, HOME_BYTES, "%s", given);
  else if (!installed(home) && !above("build", 1, home))
    strcpy(home, ".");
}

void home_results(const char *home, char results[HOME_BYTES]) {
  char share[HOME_BYTES], here[PATH_MAX];
  const char *database = getenv("HARNESS_DB");
  if (!installed(share)) {
    snprintf(results, HOME_BYTES, "%.4000s/results", home);
  } else if (database && database[0] && strlen(database) < HOME_BYTES) {
    char path[HOME_BYTES];
    strcpy(path, database);
    strcpy(results, dirname(path));
  } else {
    snprintf(results, HOME_BYTES, "%.4000s/results", getcwd(here, sizeof here) ? here : ".");
  }
}

const char *home_program(void) {
  char share[HOME_BYTES];
  return installed(share) ? "harness" : "./harness";
}
