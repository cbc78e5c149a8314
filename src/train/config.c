#include "src/train/config.h"
#include "kernels/mode.h"

static json_t *at(const json_t *config, const char *key) {
  json_t *value = json_object_get(config, key);
  CHECK(value, "the configuration has no '%s'", key);
  return value;
}

int64_t config_int(const json_t *config, const char *key) {
  const json_t *value = at(config, key);
  CHECK(json_is_integer(value), "'%s' is no whole number", key);
  return json_integer_value(value);
}

double config_number(const json_t *config, const char *key) {
  const json_t *value = at(config, key);
  CHECK(json_is_number(value), "'%s' is no number", key);
  return json_number_value(value);
}

const char *config_text(const json_t *config, const char *key) {
  const json_t *value = at(config, key);
  CHECK(json_is_string(value), "'%s' is no text", key);
  return json_string_value(value);
}

static int flag(const json_t *config, const char *key, int fallback) {
  return json_object_get(config, key) ? (int)config_int(config, key) : fallback;
}

RunFlags config_flags(const json_t *config) {
  return (RunFlags){
#define FLAG(field, option, argument, fallback, least, most, help)                                 \
  .field = flag(config, #field, fallback),
#define GIVEN(field) FLAG(field, , , 0, , , )
#include "src/train/flags.def"
#undef FLAG
#undef GIVEN
  };
}

void config_put_flags(json_t *config, const RunFlags *flags) {
#define FLAG(field, option, argument, fallback, least, most, help)                                 \
  if (flags->field != fallback) json_object_set_new(config, #field, json_integer(flags->field));
#define GIVEN(field) FLAG(field, , , 0, , , )
#include "src/train/flags.def"
#undef FLAG
#undef GIVEN
}

void config_mode(const json_t *config) {
  const char *tf32 = json_string_value(json_object_get(config, "tf32"));
  if (tf32) CHECK(tf32_parse(tf32, &kernel_mode.tf32), "tf32 is \"%s\"", tf32);
  kernel_mode.deterministic = config_flags(config).deterministic;
}

const Backend *config_backend(const json_t *config, Error *error) {
  config_mode(config);
  const char *device = json_string_value(json_object_get(config, "device"));
  int number = config_flags(config).device_number;
  char name[64];
  snprintf(name, sizeof name, number ? "%.32s:%d" : "%.32s", device ? device : "cpu", number);
  return backend_open(name, error);
}

Sgd config_sgd(const json_t *config, Params *params) {
  params->group[GROUP_CNN].factor = config_number(config, "lr_cnn");
  params->group[GROUP_TRANSFORMER].factor = config_number(config, "lr_transformer");
  if (!params->allocated) sgd_states(params);
  return (Sgd){.momentum = config_number(config, "momentum"),
               .weight_decay = config_number(config, "weight_decay"),
               .clip = config_number(config, "clip")};
}

void config_triple(const json_t *config, const char *key, int out[3]) {
  const json_t *value = at(config, key);
  CHECK(json_array_size(value) == 3, "'%s' has not three numbers", key);
  for (size_t i = 0; i < 3; i++) out[i] = (int)json_integer_value(json_array_get(value, i));
}
