/* One line of a bench: what was timed, its error, its times, its share of the ceiling. */
#ifndef BENCH_ROW_H
#define BENCH_ROW_H

#include "base/error.h"
#include "engine/plan.h"
#include "src/bench/bench.h"
#include "src/machine/ceilings.h"

#include <stdio.h>

/* ---- a row ----------------------------------------------------------------------------------- */

typedef struct BenchRow {
  char kernel[48], name[80], shape[400]; /* "conv", "quick s0", "(16,3,3,3,16) ..." */
  const char *pass;                      /* forward, backward, step, ... */
  const char *dtype, *device;
  double error, tolerance; /* NaN: not compared here */
  const char *reference;   /* what the error is against */
  Samples cold, hot;       /* microseconds; cold stays empty where it says nothing (whole steps) */
  double flops, bytes;     /* of one call; bytes: what must move at least */
  double least_us;         /* the ceiling's time; NaN: none */
  const char *bound;       /* compute or memory */
  double ceilings[2];      /* that least_us comes from: GFLOP/s and GB/s */
  char formula[240];       /* of flops; "": what row_of_graph adds up */
  const char *traffic;     /* of bytes, in words */
  double mhz;              /* the clock when the last sample was taken; 0: not to be read */
  bool slowed;             /* it fell, or the device says so */
  double peak_bytes;       /* planned memory; NaN: not asked */
  /* Another implementation timed in turn with ours; ratio is theirs over ours. */
  char baseline[80];
  Samples baseline_hot;
  Ratio speedup; /* interval: over the pairs */
  double baseline_bytes;
  /* Why there is no time: what the processor, the memory or the peer lacks for it, or what went
   * wrong. Empty: timed, or a wrong result. */
  char not_timed[240];
  bool failed; /* not timed because of a fault, not for want of something */
} BenchRow;

BenchRow row_make(void);
bool row_wrong(const BenchRow *row); /* beyond the tolerance, or failed: it has no time */
/* That this case has no time, and why: `lacks`, what it needs is not here; else it failed. */
void row_give_up(BenchRow *row, bool lacks, const Error *why);
/* As printed by --json; with `samples`, every sample too, as stored. */
/* Why it takes less than the ceiling's time, of the marks that stand behind such a share; NULL: it
 * does not. */
typedef struct Above {
  char mark[4];
  const char *why;
} Above;
const Above *row_above(const BenchRow *row);
json_t *row_json(const BenchRow *row, int threads, bool samples);
/* Microseconds in the unit that leaves three or four digits. */
const char *bench_time_text(double us, char text[16]);
/* A row of the text table, some lines of at most 80 characters; `width` of the column that names
 * kernel and case. */
void row_print(const BenchRow *row, FILE *out, int width, bool baseline);

/* ---- a run ----------------------------------------------------------------------------------- */

/* One run of `harness bench`: the machine's state, the rows so far, and their way to the user and
 * the database. */

typedef struct Session {
  const BenchOptions *options;
  Machine machine;
  Flush flush;
  json_t *rows;   /* with their samples */
  int wrong;      /* rows whose kernel is wrong, or that failed */
  int width;      /* of the first column */
  double mhz;     /* the highest of its rows */
  unsigned above; /* the marks that were printed */
  bool slowed;    /* one of its rows */
  FILE *text;     /* the table; NULL: none */
} Session;

/* Work, traffic, least time and peak memory of one run of a planned graph. */
void row_of_graph(BenchRow *row, const Graph *graph, const Plan *plan, const Params *params,
                  const Machine *machine);
/* Measures the ceilings and prints the head. width: of the longest "kernel, case". */
Session session_begin(const BenchOptions *options, int width);
/* The clock after its samples. */
void session_clock(Session *session, BenchRow *row);
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
