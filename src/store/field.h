/* Fields of JSON objects of this program's making, such as are printed as they are; what is only
 * read is a struct (typed_rows.h). An object without the field is a fault of the program and ends
 * it; null, or of no object, is "", 0 or false. */
#ifndef STORE_FIELD_H
#define STORE_FIELD_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

static inline const json_t *field_of(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  CHECK(value || !object, "there is no field \"%s\"", key);
  return value;
}

static inline const char *field_text(const json_t *object, const char *key) {
  const char *value = json_string_value(field_of(object, key));
  return value ? value : "";
}

static inline double field_number(const json_t *object, const char *key) {
  return json_number_value(field_of(object, key));
}

static inline int field_whole(const json_t *object, const char *key) {
  return (int)field_number(object, key);
}

static inline bool field_known(const json_t *object, const char *key) {
  return json_is_number(field_of(object, key));
}

/* Of an object that may lack it. */
static inline const char *field_text_if(const json_t *object, const char *key) {
  return json_object_get(object, key) ? field_text(object, key) : "";
}

#endif
