/* What a trial would cost before any ran (cmd_estimate.c). */
#ifndef CLI_ESTIMATE_H
#define CLI_ESTIMATE_H

#include <jansson.h>
#include <stdbool.h>

/* The mean of an experiment's cells, in seconds of training steps; false: it cannot be said. */
bool estimate_trial(const json_t *experiment, const char *home, const char *db, double *trial_s);

#endif
