/* Fields of the JSON objects that the store answers with; an absent one is "", 0 or false. */
#ifndef STORE_FIELD_H
#define STORE_FIELD_H

#include <jansson.h>
#include <stdbool.h>

static inline const char *field_text(const json_t *object, const char *key) {
  const char *value = json_string_value(json_object_get(object, key));
  return value ? value : "";
}

static inline int field_whole(const json_t *object, const char *key) {
  return (int)json_integer_value(json_object_get(object, key));
}

static inline double field_number(const json_t *object, const char *key) {
  return json_number_value(json_object_get(object, key));
}

static inline bool field_known(const json_t *object, const char *key) {
  return json_is_number(json_object_get(object, key));
}

#endif
