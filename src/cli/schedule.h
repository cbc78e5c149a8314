/* Runs trials as processes, a few at a time, and stores what they report. */
#ifndef CLI_SCHEDULE_H
#define CLI_SCHEDULE_H

#include "src/cli/job.h"
#include "src/cli/tasks.h"

typedef struct Schedule {
  Store *store; /* locked */
  const char *home;
  Task *task; /* in the order to run */
  int count;
  int64_t environment;
  int jobs;
  double timeout_s; /* of a trial; 0: none */
  double deadline;  /* seconds_now() by which a trial must be expected to end to start; 0: none */
  double trial_s;   /* that one is expected to take, at least; 0: not known */
  bool over;        /* set when the deadline left trials unstarted */
  bool quiet;
  bool patient; /* a second signal is in no hurry, since a cluster sends several, and SIGUSR1 is the
                   caller's */
  /* Asked some times a second while trials run: false stops them as a signal does. NULL: yes. */
  bool (*goes_on)(void *user);
  void *user;
  Launch launch;
} Schedule;

/* Returns when every trial has ended, or on the first SIGINT, SIGTERM or SIGHUP when the running
 * ones have been stopped (*interrupted); a second signal ends the program at once with 75.
 * SIGUSR1 asks the running ones for a checkpoint, and they go on; not where it is patient.
 * false: the database cannot be written or no process started; the rest was stopped. */
bool schedule_run(Schedule *schedule, bool *interrupted, Error *error);

#endif
