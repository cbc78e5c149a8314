#include "src/train/config_sound.h"
#include "kernels/mode.h"
#include "src/data/batches/augment.h"

static bool is_number(const json_t *value, double least, double most) {
  double number = json_number_value(value);
  return json_is_number(value) && number >= least && number <= most;
}

static bool is_whole(const json_t *value, double least, double most) {
  return json_is_integer(value) && is_number(value, least, most);
}

static bool is_triple(const json_t *value, double least, double most) {
  bool good = json_array_size(value) == 3;
  for (size_t i = 0; good && i < 3; i++) good = is_whole(json_array_get(value, i), least, most);
  return good;
}

static bool is_augment(const json_t *value, double least, double most) {
  (void)least, (void)most;
  Augment augment;
  Error why = {""};
  const char *word = json_string_value(value);
  return word && augment_parse(word, "none", &augment, &why);
}

static bool is_mirror(const json_t *value, double least, double most) {
  (void)least, (void)most;
  Augment augment;
  Error why = {""};
  const char *word = json_string_value(value);
  return word && augment_parse("nnunet", word, &augment, &why);
}

static bool is_tf32(const json_t *value, double least, double most) {
  (void)least, (void)most;
  Tf32 tf32;
  const char *word = json_string_value(value);
  return word && tf32_parse(word, &tf32);
}

static bool is_text(const json_t *value, double least, double most) {
  (void)least, (void)most;
  return json_is_string(value);
}

/* with: it is asked only where this key is there; NULL: always. */
static const struct {
  const char *key, *with;
  bool (*is)(const json_t *value, double least, double most); /* NULL: it is absent */
  double least, most;
} keys[] = {
    {"threads", NULL, is_whole, 1, 1024},
    {"seed", NULL, is_whole, 0, 1e18},
    {"fold", NULL, is_whole, 0, 99},
    {"patch", NULL, is_triple, 1, 4096},
    {"window_step", NULL, is_number, .1, 1},
    {"augment", NULL, is_augment, 0, 0},
    {"mirror", NULL, is_mirror, 0, 0},
    {"tf32", "tf32", is_tf32, 0, 0},
    {"data_dir", NULL, is_text, 0, 0},
    {"weights", "weights", is_text, 0, 0},
    {"weights_path", "weights", is_text, 0, 0},
    {"weights_map", "weights_map_path", is_text, 0, 0},
};

bool config_sound(const json_t *config, Error *error) {
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const json_t *value = json_object_get(config, keys[i].key);
    if (keys[i].with && !json_object_get(config, keys[i].with)) continue;
    if (keys[i].is(value, keys[i].least, keys[i].most)) continue;
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    fail(error, text ? "\"%s\" is %.60s, which it is in no trial" : "\"%s\" is missing",
         keys[i].key, text);
    free(text);
    return false;
  }
  return true;
}
