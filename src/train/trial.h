/* One trial in a process of its own. */
#ifndef TRAIN_TRIAL_H
#define TRAIN_TRIAL_H

#include <jansson.h>
#include <stdio.h>

/* Trains and evaluates one resolved configuration. Reports as JSON lines on events: plan, step,
 * eval, metric and at last end (status, message, train_s, eval_s). Returns the exit code: 0 when
 * the trial ended as done, otherwise 1. */
int trial_main(const json_t *config, FILE *events);

#endif
