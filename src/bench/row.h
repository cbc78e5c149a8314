/* One line of a bench: what was timed, its error, its times, its share of the ceiling. */
#ifndef BENCH_ROW_H
#define BENCH_ROW_H

#include "base/error.h"
#include "src/machine/ceilings.h"

#include <stdio.h>

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
  double peak_bytes;       /* planned memory; NaN: not asked */
  /* Another implementation timed in turn with ours; ratio is theirs over ours. */
  char baseline[64];
  Samples baseline_hot;
  Ratio speedup; /* interval: over the pairs */
  double baseline_bytes;
  /* Why there is no time: what the processor, the memory or the peer lacks for it, or what went
   * wrong. Empty: timed, or a wrong result. */
  char not_timed[240];
  bool failed; /* not timed because of a fault, not for want of something */
} BenchRow;

BenchRow row_make(void);
void row_free(BenchRow *row);
bool row_wrong(const BenchRow *row); /* beyond the tolerance, or failed: it has no time */
/* That this case has no time, and why: `lacks`, what it needs is not here; else it failed. */
void row_give_up(BenchRow *row, bool lacks, const Error *why);
/* The samples that count: cold ones where there are, else hot. */
const Samples *row_samples(const BenchRow *row);
/* As printed by --json; with `samples`, every sample too, as stored. */
json_t *row_json(const BenchRow *row, int threads, bool samples);
/* Column heads and rows of the text table; `width` of the column that names kernel and case. */
void row_print_head(FILE *out, int width, bool baseline);
void row_print(const BenchRow *row, FILE *out, int width, bool baseline);

#endif
