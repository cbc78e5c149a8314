#define _GNU_SOURCE /* asprintf */
#include "src/data/sets/problems.h"

#include <stdarg.h>
#include <stdlib.h>

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

char *path_join(const char *dir, const char *name) {
  char *path = NULL;
  if (asprintf(&path, "%s/%s", dir, name) < 0) abort();
  return path;
}
