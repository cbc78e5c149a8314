/* `harness bench`: what there is to time, in which order, and where the rows go. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "base/error.h"
#include "src/machine/timing.h"

enum { MAX_FILTERS = 16, MAX_PEERS = 4 };

typedef struct BenchOptions {
  const char *filter[MAX_FILTERS];
  int filters;
  int threads;
  TimingLimits limits;
  bool json, list, quiet, against, compile; /* compile: peers may use torch.compile */
  bool profile;                             /* time per op and node of whole steps */
  bool explain;                             /* how work, traffic and ceiling of a row come about */
  bool no_price;                            /* no rows for what `deterministic` costs */
  bool deterministic; /* asked for: every row; else on a GPU a row of its own shows its price */
  const char *python[MAX_PEERS]; /* against: each with a PyTorch; none: the default */
  int pythons;
  const Backend *backend;          /* where: the CPU's fast kernels or a GPU */
  const char *device;              /* as typed; NULL: cpu */
  const char *first_step;          /* the child's side of a first-step measurement */
  const char *home, *db, *command; /* command: as typed, stored with the run */
} BenchOptions;

/* Exit code: 0; 1 when a kernel is wrong; 2 unknown filter (the error names the nearest); 3 when
 * the database or the peer is unfit. */
int bench_run(const BenchOptions *options, Error *error);

#endif
