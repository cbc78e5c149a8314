/* The training loop: batch, graph, clip, update, and what is told about it. */
#ifndef TRAIN_TRAINING_H
#define TRAIN_TRAINING_H

#include "engine/rate_schedule.h"
#include "engine/stepper.h"
#include "lua/bind.h"
#include "src/data/batches/loader.h"
#include "src/train/best_weights.h"
#include "src/train/course.h"

typedef enum TrainingEnd { TRAINING_DONE, TRAINING_COLLAPSED, TRAINING_INTERRUPTED } TrainingEnd;

/* Time of the profiled steps (all but the first, which warms up) outside the graph. */
typedef struct StepProfile {
  int steps;
  double batch_s, update_s; /* batch: waited for, and copied */
} StepProfile;

typedef struct Training {
  Params *params;
  Plan *plan; /* bound */
  const Model *model;
  const Sampler *sampler;
  int workers; /* threads that prepare batches; 0: none. Changes no bit */
  Optimizer optimizer;
  RateSchedule rates;
  int64_t steps, save_every;
  const char *checkpoint; /* NULL: none */
  const char *recipe;     /* metadata of the checkpoint: see cases.h */
  const char *code;       /* the same: see network.h */
  const char *start;      /* the same: see weights_file.h; "": none */
  FILE *events;
  Course *course; /* of the steps before `first`; this training goes on with it */
  CollapseRule rule;
  CollapseWatch *watch;      /* where the rule measures */
  const Sampler *validation; /* patches whose Dice is told on the way; NULL: none */
  BestWeights *best;         /* which weights are kept */
  bool eager;                /* on a device: no captured step */
  bool check;                /* every step is traced, not one alone that is not finite */
  double *waited_s;          /* the time spent waiting for batches is added to it */
  StepProfile *profile;      /* NULL: no profile; the graph's own is in its nodes */
} Training;

/* Runs steps first .. steps-1. A loss or gradient that is not finite, or the collapse rule, ends it
 * as collapsed, with the reason in error->text: of what is not finite the op that wrote the first,
 * since the step is run again and traced (engine/trace.h). A checkpoint is written every save_every
 * steps, every ten minutes (HARNESS_SAVE_S in the environment: every so many seconds) and at the
 * end; one that cannot be written is told on standard error, at the end it makes it an interrupted
 * one, with the reason. */
bool training_run(const Training *training, int64_t first, TrainingEnd *end, Error *error);

enum { TRAINING_NOTE = 512 };
/* The step that a checkpoint was written after, from which a training goes on: the newest that is
 * whole. 0: there is none (or NULL), another text of the model (see network_code) wrote it, or it
 * is no step of `steps`. note: what must be said about it, or "". */
int64_t training_kept(const char *checkpoint, const char *code, int64_t steps,
                      char note[TRAINING_NOTE]);

/* Safe in a signal handler: asks the loop to write a checkpoint after the current step; and to end
 * with it. */
void training_checkpoint(int signal);
void training_interrupt(int signal);
bool training_interrupted(void); /* that was asked */

#endif
