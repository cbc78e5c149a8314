#define _GNU_SOURCE /* asprintf */
#include "base/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

char *path_join(const char *dir, const char *name) {
  char *path = NULL;
  if (asprintf(&path, "%s/%s", dir, name) < 0) abort();
  return path;
}

bool path_make(const char *path) {
  char *part = strdup(path), *slash = part[0] ? strchr(part + 1, '/') : NULL;
  bool good = true;
  for (; good; slash = strchr(slash + 1, '/')) {
    if (slash) *slash = 0;
    good = mkdir(part, 0777) == 0 || errno == EEXIST;
    if (!slash) break;
    *slash = '/';
  }
  free(part);
  return good;
}

bool path_same(const char *a, const char *b) {
  struct stat one, other;
  return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
         one.st_ino == other.st_ino;
}
