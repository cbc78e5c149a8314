/* What the subcommands of `runs` share. Private to src/cli/cmd_runs.c and src/cli/runs_*.c. */
#ifndef CLI_RUNS_H
#define CLI_RUNS_H

#include "src/store/store.h"

enum { RUNS_TRIALS = 64 };

typedef struct RunsChoice {
  const char *trial[RUNS_TRIALS]; /* operands: trials, and what is said of one */
  int trials, most;               /* how many a subcommand takes */
  const char *status, *experiment, *home, *sort, *tag;
  bool json, remove;
} RunsChoice;

/* Each does its work and returns an exit code. */
int runs_list(Store *store, const RunsChoice *choice, Error *error);
int runs_show(Store *store, const RunsChoice *choice, Error *error);
int runs_diff(Store *store, const RunsChoice *choice, Error *error);
int runs_tag(Store *store, const RunsChoice *choice, Error *error);
int runs_note(Store *store, const RunsChoice *choice, Error *error);

#endif
