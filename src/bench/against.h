/* `harness bench --against pytorch`: ours and an equivalent PyTorch program on the same shapes with
 * as many threads, in turn: A B A B. */
#ifndef BENCH_AGAINST_H
#define BENCH_AGAINST_H

#include "src/bench/bench.h"

/* As bench_run. */
int against_run(const BenchOptions *options, Error *error);
/* The child of a first-step measurement: builds the case, makes one step, prints {"rss"}. */
int first_step_main(const BenchOptions *options, const char *name, Error *error);

#endif
