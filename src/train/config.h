/* A trial's resolved configuration (lua/harness/options.lua), read by name. A missing or mistyped
 * key is our mistake, not the user's: experiment_read has checked every option. */
#ifndef TRAIN_CONFIG_H
#define TRAIN_CONFIG_H

#include "engine/backend.h"
#include "engine/optimizer.h"
#include "engine/rate_schedule.h"

#include <jansson.h>
#include <stdint.h>

int64_t config_int(const json_t *config, const char *key);
double config_number(const json_t *config, const char *key);
const char *config_text(const json_t *config, const char *key);

/* By name, from flags.def. They travel in the configuration, where they are not the fallback. */
typedef struct RunFlags {
#define FLAG(field, option, argument, fallback, least, most, help) int field;
#define GIVEN(field)                                               int field;
#include "src/train/flags.def"
#undef FLAG
#undef GIVEN
} RunFlags;
RunFlags config_flags(const json_t *config); /* NULL: the fallbacks */
void config_put_flags(json_t *config, const RunFlags *flags);

/* Sets kernel_mode: "tf32", and the flag deterministic. */
void config_mode(const json_t *config);
/* Where the trial computes: "device" ("cpu" when absent), and of several GPUs the flag
 * device_number. Sets kernel_mode too. */
const Backend *config_backend(const json_t *config, Error *error);
/* The optimiser, and into params what belongs to it there: the groups' factors and, before
 * params_allocate, the optimiser's blocks. */
Optimizer config_optimizer(const json_t *config, Params *params);
RateSchedule config_rates(const json_t *config);
void config_triple(const json_t *config, const char *key, int out[3]);

#endif
