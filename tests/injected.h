/* A line of the table of faults that `make soak` prints (tests/soak). Include behind the headers of
 * what is tested. */
#ifndef TESTS_INJECTED_H
#define TESTS_INJECTED_H

#include <stdio.h>
#include <stdlib.h>

/* What was done, how often, how much it cost. */
__attribute__((unused)) static void injected(const char *what, int times, int lost) {
  const char *path = getenv("FAULTS");
  FILE *table = path && path[0] ? fopen(path, "a") : NULL;
  if (!table) return;
  fprintf(table, "%s\t%d\t%d\n", what, times, lost);
  fclose(table);
}

#endif
