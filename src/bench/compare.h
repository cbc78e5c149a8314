/* `harness bench compare A B`: B against A, row by row, from the samples stored. */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include "base/error.h"

typedef struct CompareOptions {
  const char *db, *old_run, *new_run; /* a number, last or prev */
  double margin;                      /* a ratio this near to 1 is the same */
  bool json;
} CompareOptions;

/* Exit code: 0; 4 when a row is SLOWER or has become wrong; 5 when no row is in both; 2, 3. */
int bench_compare(const CompareOptions *options, Error *error);

#endif
