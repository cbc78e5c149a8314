#include "src/report/option_words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

bool option_same(const json_t *a, const json_t *b) {
  if (json_is_number(a) && json_is_number(b)) {
    double x = json_number_value(a), y = json_number_value(b);
    return fabs(x - y) <= 1e-12 * fabs(x);
  }
  if (!json_is_array(a) || json_array_size(a) != json_array_size(b)) return json_equal(a, b);
  for (size_t i = 0; i < json_array_size(a); i++)
    if (!option_same(json_array_get(a, i), json_array_get(b, i))) return false;
  return true;
}

void option_put(const json_t *value, FILE *out) {
  const json_t *item;
  size_t i;
  if (json_is_array(value) && !json_is_array(json_array_get(value, 0))) {
    json_array_foreach(value, i, item) {
      if (i) fputc(',', out);
      option_put(item, out);
    }
    return;
  }
  if (json_is_real(value)) {
    fprintf(out, "%.10g", json_real_value(value));
    return;
  }
  char *words = json_is_string(value)
                    ? strdup(json_string_value(value))
                    : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(10));
  fputs(words ? words : "-", out);
  free(words);
}

char *option_words(const char *name, const json_t *value) {
  char *words = NULL;
  size_t bytes = 0;
  FILE *memory = open_memstream(&words, &bytes);
  CHECK(memory, "no memory for an option");
  fprintf(memory, "%s=", name);
  option_put(value, memory);
  CHECK(fclose(memory) == 0 && words, "no memory for an option");
  return words;
}
