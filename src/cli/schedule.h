/* Runs trials as processes, a few at a time, and stores what they report. */
#ifndef CLI_SCHEDULE_H
#define CLI_SCHEDULE_H

#include "src/store/store.h"

typedef struct Schedule {
  Store *store;        /* locked */
  PlannedTrial **todo; /* in the order to run; their status is set when they end */
  char **label;        /* for progress, one for each */
  int count;
  int64_t environment;
  int jobs;
  int threads;      /* of a trial */
  bool pin;         /* jobs * threads processors are there */
  double timeout_s; /* of a trial; 0: none */
  int workers;      /* threads of a trial that prepare batches; -1: its default */
  bool quiet, profile;
  int gpu;             /* of several */
  bool eager;          /* no captured steps */
  bool deterministic;  /* kernels/mode.h */
  const char *program; /* what to execute for a trial */
  const char *home;    /* the program's folder */
} Schedule;

/* Returns when every trial has ended, or on the first SIGINT, SIGTERM or SIGHUP when the running
 * ones have been stopped (*interrupted); a second signal ends the program at once with 75.
 * false: the database cannot be written or no process started; the rest was stopped. */
bool schedule_run(Schedule *schedule, bool *interrupted, Error *error);

#endif
