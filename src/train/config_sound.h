/* Whether a stored configuration is one with which trained weights can be run again: others may
 * have changed the database (src/store/sound.c). A model's own options are Lua's to read. */
#ifndef TRAIN_CONFIG_SOUND_H
#define TRAIN_CONFIG_SOUND_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

/* The error says what is missing or out of its range. */
bool config_sound(const json_t *config, Error *error);

#endif
