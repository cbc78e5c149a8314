/* What a trial would cost before any ran (cmd_estimate.c). */
#ifndef CLI_ESTIMATE_H
#define CLI_ESTIMATE_H

#include <jansson.h>
#include <stdbool.h>

#include "src/train/footprint.h"

/* Plans a configuration of the experiment, which has its "home"; backend as footprint_make. */
bool estimate_footprint(const json_t *experiment, const json_t *config, const Backend *backend,
                        Footprint *footprint, Error *error);
/* The mean of an experiment's cells, in seconds of training steps; false: it cannot be said. */
bool estimate_trial(const json_t *experiment, const char *home, const char *db, double *trial_s);

#endif
