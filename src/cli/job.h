/* One trial as a process: started with its configuration (and in it "home" and "checkpoint", the
 * file for its weights) on standard input, its output in a log file, its events as JSON lines on
 * descriptor 3. The process dies with this one (PDEATHSIG), so a killed sweep leaves no orphans. */
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "src/store/event.h"
#include "src/store/store.h"
#include "src/train/config.h"
#include "src/train/training.h"

typedef struct Job {
  const Cell *trial;
  const char *label;        /* "queries=1 seed 0" */
  char weights[HASH_BYTES]; /* the trial whose kept weights it scores; "": it trains */
  int slot;                 /* which of the jobs that run at once */
  pid_t pid;                /* 0: the job is free */
  int events;               /* our end of the pipe, -1: closed */
  int64_t attempt;
  char log[64]; /* relative to the database's folder */
  char log_path[4400];
  long log_start; /* where this attempt begins in the log */
  char *line;     /* an event not yet complete */
  size_t line_used, line_room;
  json_t *pending;          /* events not yet stored */
  Event end;                /* the event of that name, its texts in end_json */
  json_t *end_json;         /* NULL: none came */
  char note[TRAINING_NOTE]; /* to be said once and cleared */
  Error unplaced;           /* why the weights could not be had; then it trains */
  Error broken;             /* an event that cannot be understood; empty: none */
  double started, stop_at;  /* seconds; stop_at: when a stopped job is killed, 0: not stopped */
  double grace_s;           /* of the launch */
  Status stopped_as;        /* interrupted or timeout, when stop_at is set */
  long long kills;          /* memory_kills when it started */
  int went_on_from;         /* the step of its checkpoint; steps up to it are told again */
  double first_step_at;     /* when the first step after it was heard of */
  double step_s;            /* that a step takes; 0: not known */
  int first_step, step, steps, cases_done, cases;
  double loss,
      dice;      /* of the newest report; dice of the validation patches, NAN: not measured yet */
  int metrics;   /* metric events heard */
  double figure; /* the trial's figure once it is stored; negative: none */
} Job;

typedef struct Launch {
  const char *program; /* what to execute: this program, or a test's stand-in */
  const char *folder;  /* of the database */
  int threads;         /* of a trial */
  bool pin;            /* bind each trial to processors of its own, where so many are free */
  double grace_s;      /* that a trial that is asked to stop is given; 0: 10 */
  RunFlags flags;
} Launch;

/* Starts the process; on failure job->pid is 0. */
bool job_spawn(Job *job, const Launch *launch, Error *error);
/* Reads what is there without waiting; true: the pipe has ended. */
bool job_read(Job *job);
/* Asks the process to stop (SIGTERM) and remembers why; job_tick kills it when it has not for ten
 * seconds and some of its steps. */
void job_stop(Job *job, Status why);
void job_tick(Job *job, double timeout_s);
/* What the attempt came to, from the end event, the wait status and why it was stopped. message
 * (of at least ERROR_BYTES) is pointed to by end. */
void job_judge(const Job *job, int wait_status, const struct rusage *usage, char *message,
               AttemptEnd *end);
/* Closes and frees what the job holds; job->pid becomes 0. */
void job_free(Job *job);

#endif
