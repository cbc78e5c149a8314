#include "src/data/sets/json_text.h"

#include "base/utf8.h"
#include "base/whole_file.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* ---- reading --------------------------------------------------------------------------------- */

/* The whole file, to be freed; NULL: it cannot be read (errno). */
static char *bytes_read(const char *path, size_t *length) {
  FILE *file = fopen(path, "rb");
  char *text = NULL;
  *length = 0;
  for (size_t got = 1, capacity = 0; file && got;) {
    if (*length == capacity) text = realloc(text, capacity = 2 * capacity + 4096);
    CHECK(text, "out of memory for %s", path);
    *length += got = fread(text + *length, 1, capacity - *length, file);
  }
  if (!file) return NULL;
  bool bad = ferror(file);
  fclose(file);
  if (!bad) return text;
  free(text);
  return NULL;
}

json_t *json_file_load(const char *path, size_t flags, Error *error) {
  json_error_t where;
  size_t length, mark = 0;
  char *text = bytes_read(path, &length);
  if (!text) {
    fail(error, "%s: cannot read: %s", path, strerror(errno));
    return NULL;
  }
  if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) mark = 3;
  bool wide = length >= 2 && (!memcmp(text, "\xff\xfe", 2) || !memcmp(text, "\xfe\xff", 2));
  json_t *json = wide ? NULL : json_loadb(text + mark, length - mark, flags, &where);
  if (wide)
    fail(error, "%s: is UTF-16; save it as UTF-8", path);
  else if (!json)
    fail(error, "%s:%d:%d: %s", path, where.line, where.column, where.text);
  free(text);
  return json;
}

/* ---- writing --------------------------------------------------------------------------------- */

json_t *json_name(const char *text) {
  char *shown = utf8_shown(text);
  json_t *string = json_string(shown);
  free(shown);
  return string;
}

const char *json_number_text(double value, char text[NUMBER_TEXT]) {
  for (int digits = 6; digits <= 17; digits++) {
    snprintf(text, NUMBER_TEXT, "%.*g", digits, value);
    if (strtod(text, NULL) == value) break;
  }
  if (!strpbrk(text, ".en")) strcat(text, ".0"); /* stays a real number when read back */
  return text;
}

void json_round(json_t *json, int digits) {
  char text[NUMBER_TEXT];
  const char *key;
  json_t *item;
  size_t i;
  if (json_is_real(json)) {
    snprintf(text, sizeof text, "%.*g", digits, json_real_value(json));
    json_real_set(json, strtod(text, NULL));
  }
  json_array_foreach(json, i, item) json_round(item, digits);
  json_object_foreach(json, key, item) json_round(item, digits);
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

/* depth -1: all on one line. */
static void line_break(int depth, FILE *out) {
  if (depth >= 0) fprintf(out, "\n%*s", depth, "");
}

static int deeper(int depth) {
  return depth < 0 ? depth : depth + 1;
}

static void print(const json_t *json, int depth, FILE *out);

static void array_print(const json_t *json, int depth, FILE *out) {
  bool flat = depth >= 0 && is_flat(json) && (json_array_size(json) <= 16 || depth > 1);
  size_t i;
  json_t *item;
  fputc('[', out);
  json_array_foreach((json_t *)json, i, item) {
    if (i) fputs(flat ? ", " : ",", out);
    if (!flat) line_break(deeper(depth), out);
    print(item, deeper(depth), out);
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
    line_break(deeper(depth), out);
    json_t *name = json_string(key);
    print(name, 0, out);
    json_decref(name);
    fputs(depth < 0 ? ":" : ": ", out);
    print(item, deeper(depth), out);
  }
  if (!first) line_break(depth, out);
  fputc('}', out);
}

static void print(const json_t *json, int depth, FILE *out) {
  char text[NUMBER_TEXT];
  if (json_is_array(json))
    array_print(json, depth, out);
  else if (json_is_object(json))
    object_print(json, depth, out);
  else if (json_is_real(json))
    fputs(json_number_text(json_real_value(json), text), out);
  else
    CHECK(json_dumpf(json, out, JSON_ENCODE_ANY) == 0 || ferror(out),
          "a document holds a text that is not UTF-8, or a number that is not finite");
}

static void whole_print(const json_t *json, int depth, FILE *out) {
  CHECK(json, "a document holds a text that is not UTF-8, or a number that is not finite");
  print(json, depth, out);
  fputc('\n', out);
}

void json_text_print(const json_t *json, FILE *out) {
  whole_print(json, 0, out);
}

void json_line(const json_t *json, FILE *out) {
  whole_print(json, -1, out);
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
  if (fine) return whole_place(temporary, path, error);
  int why = errno;
  unlink(temporary);
  return fail(error, "%s: not written: %s", path, strerror(why));
}
