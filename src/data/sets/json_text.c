#include "src/data/sets/json_text.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static void number_print(double value, FILE *out) {
  char text[40];
  for (int digits = 6; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtod(text, NULL) == value) break;
  }
  fputs(text, out);
  if (!strpbrk(text, ".en")) fputs(".0", out); /* stays a real number when read back */
}

/* A list of which nothing is an object stands on one line. */
static bool is_flat(const json_t *json) {
  size_t i;
  json_t *item;
  if (json_is_object(json)) return false;
  json_array_foreach((json_t *)json, i, item) {
    if (!is_flat(item)) return false;
  }
  return true;
}

static void line_break(int depth, FILE *out) {
  fprintf(out, "\n%*s", depth, "");
}

static void print(const json_t *json, int depth, FILE *out);

static void array_print(const json_t *json, int depth, FILE *out) {
  bool flat = is_flat(json) && (json_array_size(json) <= 16 || depth > 1);
  size_t i;
  json_t *item;
  fputc('[', out);
  json_array_foreach((json_t *)json, i, item) {
    if (i) fputs(flat ? ", " : ",", out);
    if (!flat) line_break(depth + 1, out);
    print(item, depth + 1, out);
  }
  if (!flat) line_break(depth, out);
  fputc(']', out);
}

static void object_print(const json_t *json, int depth, FILE *out) {
  const char *key;
  json_t *item;
  bool first = true;
  fputc('{', out);
  json_object_foreach((json_t *)json, key, item) {
    if (!first) fputc(',', out);
    first = false;
    line_break(depth + 1, out);
    json_t *name = json_string(key);
    print(name, 0, out);
    json_decref(name);
    fputs(": ", out);
    print(item, depth + 1, out);
  }
  line_break(depth, out);
  fputc('}', out);
}

static void print(const json_t *json, int depth, FILE *out) {
  if (json_is_array(json)) array_print(json, depth, out);
  if (json_is_object(json)) object_print(json, depth, out);
  if (json_is_real(json)) number_print(json_real_value(json), out);
  if (!json_is_array(json) && !json_is_object(json) && !json_is_real(json))
    json_dumpf(json, out, JSON_ENCODE_ANY);
}

void json_text_print(const json_t *json, FILE *out) {
  print(json, 0, out);
  fputc('\n', out);
}

bool json_text_write(const json_t *json, const char *path, Error *error) {
  char temporary[PATH_MAX];
  if (snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid()) >=
      (int)sizeof temporary)
    return fail(error, "%s: path too long", path);
  FILE *file = fopen(temporary, "w");
  if (!file) return fail(error, "%s: cannot write: %s", path, strerror(errno));
  json_text_print(json, file);
  bool fine = !ferror(file);
  fine = fclose(file) == 0 && fine;
  if (fine && rename(temporary, path) == 0) return true;
  int why = errno;
  unlink(temporary);
  return fail(error, "%s: not written: %s", path, strerror(why));
}
