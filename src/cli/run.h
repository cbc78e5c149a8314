/* One `harness run`: what was typed (run_options.c), which trials are to run and how they are
 * handed out (run_work.c), what would run (run_dry.c), and the command that does it (cmd_run.c). */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "src/cli/as_long.h"
#include "src/cli/cli.h"
#include "src/cli/marks.h"
#include "src/cli/schedule.h"
#include "src/cli/starts.h"
#include "src/cli/tuning.h"
#include "src/cli/until.h"

enum { RUN_OVERRIDES_MAX = 256 };

/* What runs together: first what others start from, then the tries of rates, then the trials of the
 * tables. */
typedef struct Round {
  const char *what; /* "trials", for messages */
  Experiments experiments;
  Mark **marks; /* of each experiment's trials, before any ran */
} Round;

typedef struct Run Run;
struct Run {
  Common common;
  const char *file;
  char *override[RUN_OVERRIDES_MAX];
  int overrides;
  char device[64]; /* "device=cuda", empty: not given */
  int jobs;        /* 0: as many as the processors allow, on a GPU one */
  double timeout_s;
  bool retries, retry[STATUS_COUNT], retry_stale;
  bool dry_run, json;
  bool cases_fixed; /* in the tables it prints; no part of a trial */
  RunFlags flags;
  const char *place; /* "cuda:1" as given; NULL: cpu */
  Round starts, tries, tables;
  Tuning tuning;
  Until until;
  bool goes_on; /* its time was over */
  /* Runs what is missing of a round: here (run_schedule), or elsewhere, and then what is submitted
   * is awaited by the same command later. */
  bool (*hand_out)(Run *run, Round *round, bool *interrupted, Error *error);
  int (*dry)(Run *run, Error *error); /* --dry-run: run_dry */
  bool submitted;
  Store *store;
};

/* What is typed after `harness run` becomes a Run. */
extern const Cli run_cli;
Run run_defaults(void);
/* FILE, then key=value. */
bool run_operand(char *value, Run *run, Error *error);
/* The value of --retry. */
bool run_retry(char *text, Run *run, Error *error);
/* Not on a cluster. */
bool run_is_here(const Run *run);
/* The whole command, once its words are read; an exit code. */
int run_file(Run *run);

/* ---- its trials ------------------------------------------------------------------------------ */

/* It was never tried, or stopped before its end. */
bool run_is_open(const Cell *trial);
/* Reads what the trials of a round are marked with, once all are listed. */
bool run_mark(const Run *run, Round *round, Error *error);
void run_unmark(Round *round);
/* As many trials of so many threads run at a time. */
int run_jobs(const Run *run, int threads);
/* The trials of one kind (trained, or planned and timed) that are to run, with the most threads any
 * of them wants. The caller frees with tasks_free. */
bool run_collect(const Run *run, const Round *round, bool only_planned, Schedule *work,
                 Error *error);
/* Runs what is to run of a round. */
bool run_schedule(Run *run, Round *round, bool *interrupted, Error *error);

/* Shows what would run, and changes nothing; returns an exit code. */
int run_dry(Run *run, Error *error);

#endif
