#define _GNU_SOURCE /* asprintf */
#include "src/data/sets/problems.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void problems_add(Problems *problems, const char *format, ...) {
  char *text = NULL;
  va_list arguments;
  va_start(arguments, format);
  if (vasprintf(&text, format, arguments) < 0) abort();
  va_end(arguments);
  problems->text = realloc(problems->text, (size_t)(problems->count + 1) * sizeof(char *));
  problems->text[problems->count++] = text;
}

void problems_free(Problems *problems) {
  for (int i = 0; i < problems->count; i++) free(problems->text[i]);
  free(problems->text);
  *problems = (Problems){0};
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

char *path_join(const char *dir, const char *name) {
  char *path = NULL;
  if (asprintf(&path, "%s/%s", dir, name) < 0) abort();
  return path;
}
