#include "src/data/sets/json_text.h"

#include "base/utf8.h"

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

void json_document(const json_t *json, FILE *out, size_t flags) {
  char *text = json_dumps(json, flags);
  CHECK(text, "a document holds a text that is not UTF-8, or a number that is not finite");
  fprintf(out, "%s\n", text);
  free(text);
}

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
  CHECK(json, "a document holds a text that is not UTF-8, or a number that is not finite");
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
