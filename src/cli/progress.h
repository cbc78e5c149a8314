/* What a running sweep says on standard error: on a terminal one line a job, redrawn; otherwise a
 * plain line when a trial starts and ends and every 15 seconds, so that log files stay readable. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "src/cli/job.h"

typedef struct Progress {
  bool quiet;
  bool profile; /* show the log of a trial that ended well: it ends with its profile */
  bool terminal;
  int drawn;                 /* lines on the terminal that the next drawing replaces */
  double last;               /* when something was last drawn */
  int total, started, ended; /* trials of this run */
  double busy_s;             /* wall time of the ended ones */
  int jobs;
} Progress;

Progress progress_make(int total, int jobs, bool quiet);
/* A line of its own that stays; the live lines are taken away and come back with the next tick. */
void progress_say(Progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void progress_start(Progress *progress, const Job *job);
/* Also shows the last lines of the log when the attempt did not end well. */
void progress_end(Progress *progress, const Job *job, const AttemptEnd *end);
void progress_tick(Progress *progress, const Job *jobs, int count);

/* Colour is wanted on this stream: a terminal, TERM not dumb, NO_COLOR unset, no --no-color. */
bool progress_colour(int file);
extern bool progress_no_color; /* --no-color was given */

#endif
