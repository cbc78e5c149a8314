/* One run of `harness bench`: the machine's state, the rows so far, and their way to the user and
 * the database. */
#ifndef BENCH_SESSION_H
#define BENCH_SESSION_H

#include "src/bench/bench.h"

typedef struct Session {
  const BenchOptions *options;
  Machine machine;
  Flush flush;
  json_t *rows; /* with their samples */
  int wrong;    /* rows whose kernel is wrong, or that failed */
  int width;    /* of the first column */
  FILE *text;   /* the table; NULL: none */
} Session;

/* Measures the ceilings and prints the head. width: of the longest "kernel, case". */
Session session_begin(const BenchOptions *options, int width);
/* Prints and keeps the row, and frees its samples. */
void session_add(Session *session, BenchRow *row);
/* Of the rows from number `first` on, one case timed with several peers: says which peer is the
 * better one and prints the ratio that was measured in turn with it. */
void session_better_peer(Session *session, size_t first);
/* After the first Ctrl-C: no more rows, what was measured is stored; the second ends at once. */
bool session_interrupted(void);
/* The exit code of a run that went to its end: 1 with the error where rows are wrong or failed. A
 * row of a case that cannot be done here is none of them. */
int session_verdict(int wrong, Error *error);
/* Measures the machine again, warns, stores the run, prints the JSON. */
bool session_end(Session *session, Error *error);

#endif
