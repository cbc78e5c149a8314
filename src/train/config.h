/* A trial's resolved configuration (lua/harness/options.lua), read by name. A missing or mistyped
 * key is our mistake, not the user's: the planner has checked every option. */
#ifndef TRAIN_CONFIG_H
#define TRAIN_CONFIG_H

#include "kernels/error.h"

#include <jansson.h>
#include <stdint.h>

int64_t config_int(const json_t *config, const char *key);
double config_number(const json_t *config, const char *key);
const char *config_text(const json_t *config, const char *key);
void config_triple(const json_t *config, const char *key, int out[3]);

#endif
