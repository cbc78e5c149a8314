/* Stored benches: a run is one `harness bench`, its rows carry every sample. */
#ifndef STORE_BENCH_RUNS_H
#define STORE_BENCH_RUNS_H

#include "src/store/store.h"

/* One transaction. environment: of environment_capture; run and rows: as src/bench/row.c makes
 * them. */
bool store_bench_add(Store *store, const json_t *environment, const json_t *run, const json_t *rows,
                     int64_t *id, Error *error);
/* The run that a word names: its number, `last` or `prev`. *id = 0 when there is none. */
bool store_bench_find(Store *store, const char *word, int64_t *id, Error *error);
/* The run's rows as objects: the columns of bench_rows. */
bool store_bench_rows(Store *store, int64_t run, json_t **rows, Error *error);

#endif
