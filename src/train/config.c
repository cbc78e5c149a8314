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

static void read_ints(const json_t *list, Ints *ints) {
  ints->count = (int)json_array_size(list);
  CHECK(ints->count <= MAX_INTS, "%d numbers, at most %d", ints->count, MAX_INTS);
  for (int i = 0; i < ints->count; i++)
    ints->v[i] = (int)json_integer_value(json_array_get(list, (size_t)i));
}

/* Those of a table into its struct; what the configuration does not say is as the table says. */
static void read_options(const json_t *config, const Option *table, void *options) {
  options_defaults(table, options);
  for (const Option *o = table; o->name; o++) {
    void *field = (char *)options + o->offset;
    const json_t *value = json_object_get(config, o->name);
    if (!value) continue;
    if (o->type == OPTION_INTS)
      read_ints(value, field);
    else if (o->type == OPTION_INT)
      *(int *)field = (int)config_int(config, o->name);
    else
      *(double *)field = config_number(config, o->name);
  }
}

/* Options that came later than stored trials: absent, they are what was done before. */
static const char *text_or(const json_t *config, const char *key, const char *before) {
  return json_object_get(config, key) ? config_text(config, key) : before;
}

static double number_or(const json_t *config, const char *key, double before) {
  return json_object_get(config, key) ? config_number(config, key) : before;
}

static bool denied(const json_t *config, const char *key) {
  return json_is_false(json_object_get(config, key));
}

Optimizer config_optimizer(const json_t *config, Params *params) {
  const char *name = text_or(config, "optimizer", "sgd");
  const OptimizerRow *row = optimizer_find(name);
  CHECK(row, "no optimizer is called '%s'", name);
  Optimizer optimizer = {.id = (OptimizerId)(row - optimizer_table),
                         .weight_decay = config_number(config, "weight_decay"),
                         .spares = {[ROLE_BIAS] = denied(config, "decay_biases"),
                                    [ROLE_NORM] = denied(config, "decay_norms"),
                                    [ROLE_EMBEDDING] = denied(config, "decay_embeddings")},
                         .clip = config_number(config, "clip"),
                         .average = number_or(config, "average", 0),
                         .late = (int64_t)number_or(config, "freeze_steps", 0)};
  read_options(config, row->options, &optimizer);
  params->group[GROUP_CNN].factor = config_number(config, "lr_cnn");
  params->group[GROUP_TRANSFORMER].factor = config_number(config, "lr_transformer");
  if (!params->allocated) optimizer_states(&optimizer, params);
  return optimizer;
}

RateSchedule config_rates(const json_t *config) {
  const char *name = text_or(config, "schedule", "poly");
  const RateScheduleRow *row = rate_schedule_find(name);
  CHECK(row, "no schedule is called '%s'", name);
  RateSchedule schedule = {.id = (RateScheduleId)(row - rate_schedule_table),
                           .lr = config_number(config, "lr"),
                           .lr_min = number_or(config, "lr_min", 0),
                           .steps = config_int(config, "steps"),
                           .warmup = (int64_t)number_or(config, "warmup", 0)};
  read_options(config, row->options, &schedule);
  return schedule;
}

void config_triple(const json_t *config, const char *key, int out[3]) {
  const json_t *value = at(config, key);
  CHECK(json_array_size(value) == 3, "'%s' has not three numbers", key);
  for (size_t i = 0; i < 3; i++) out[i] = (int)json_integer_value(json_array_get(value, i));
}
