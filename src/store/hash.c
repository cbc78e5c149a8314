/* Identity: the canonical JSON text of a value and its xxh3-128. */
#include "src/store/store.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

/* Raised when a change of the code alters results on purpose: every trial then counts as new. */
enum { CODE_EPOCH = 1 };

/* Keys of a configuration that say where the trial runs, not what it is. */
static const char *const machine_keys[] = {"data_dir", "data_path", "home", "checkpoint"};

/* 1.0 and 1 are the same option value: Lua writes either. */
static json_t *canonical(const json_t *value) {
  if (json_is_real(value)) {
    double x = json_real_value(value);
    bool whole = fabs(x) < 9007199254740992.0 && x == floor(x);
    return whole ? json_integer((json_int_t)x) : json_real(x);
  }
  if (json_is_array(value)) {
    json_t *copy = json_array();
    for (size_t i = 0; i < json_array_size(value); i++)
      json_array_append_new(copy, canonical(json_array_get(value, i)));
    return copy;
  }
  if (!json_is_object(value)) return json_deep_copy(value);
  json_t *copy = json_object();
  const char *key;
  json_t *item;
  json_object_foreach((json_t *)value, key, item) json_object_set_new(copy, key, canonical(item));
  return copy;
}

bool json_hash(const json_t *value, char hash[HASH_BYTES], Error *error) {
  json_t *copy = canonical(value);
  char *text = copy ? json_dumps(copy, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
  json_decref(copy);
  if (!text) return fail(error, "a configuration cannot be written as JSON text");
  XXH128_canonical_t digest;
  XXH128_canonicalFromHash(&digest, XXH3_128bits(text, strlen(text)));
  free(text);
  for (int i = 0; i < 16; i++) snprintf(hash + 2 * i, 3, "%02x", digest.digest[i]);
  return true;
}

bool trial_hash(const json_t *config, const char *data_hash, char hash[HASH_BYTES], Error *error) {
  if (!json_is_object(config)) return fail(error, "a trial's configuration is not a JSON object");
  json_t *what = json_copy((json_t *)config);
  for (size_t i = 0; i < sizeof machine_keys / sizeof machine_keys[0]; i++)
    json_object_del(what, machine_keys[i]);
  json_t *identity =
      json_pack("{s:o,s:s,s:i}", "config", what, "data", data_hash, "epoch", CODE_EPOCH);
  bool good = identity ? json_hash(identity, hash, error)
                       : fail(error, "a trial's configuration cannot be hashed");
  json_decref(identity);
  return good;
}
