/* One trial in a process of its own. */
#ifndef TRAIN_TRIAL_H
#define TRAIN_TRIAL_H

#include <jansson.h>
#include <stdio.h>

/* Trains and evaluates one resolved configuration. Besides the experiment's options it reads
 *   data_dir    the data set's folder
 *   checkpoint  (optional) file for the weights, written every save_every steps, every ten minutes
 *               and at the end; one that is there already is continued from, and where it is
 *               corrupt the one before it
 *   goes_on     (optional) it was stopped: where no checkpoint is there it says that it begins anew
 *   home        where lua/ is
 *   workers     (optional, 1) threads that prepare batches
 * Reports as JSON lines on events: plan, on a GPU probe, step, eval, metric and at last end
 * (status, message, train_s, wait_s, eval_s). Returns the exit code: 0 when the trial ended as
 * done, 75 when it was interrupted by SIGTERM or SIGINT (a checkpoint was saved), otherwise 1.
 * SIGUSR1 asks for a checkpoint after the current step. A trial for whose step there is no memory
 * ends as oom before it has taken any. */
int trial_main(const json_t *config, FILE *events);

#endif
