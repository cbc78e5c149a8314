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

bool problems_told(const Problems *problems, const char *dir, Error *error) {
  if (!problems->count) return true;
  if (problems->count == 1) return fail(error, "%s", problems->text[0]);
  return fail(error, "%s (and %d more: `harness data check %s` lists them)", problems->text[0],
              problems->count - 1, dir);
}
