/* `harness bench --against pytorch`: ours and an equivalent PyTorch program on the same shapes with
 * as many threads, in turn: A B A B. */
#ifndef BENCH_PYTORCH_H
#define BENCH_PYTORCH_H

#include "base/error.h"
#include "src/bench/bench.h"
#include "src/bench/block.h"
#include "src/bench/op_bench.h"
#include "src/bench/row.h"
#include "src/bench/step.h"

#include <jansson.h>

/* ---- a comparison ---------------------------------------------------------------------------- */

/* The two sides of a comparison, ready to be timed in turn. */

typedef struct PeerCase {
  const char *name; /* "step:unet-32", "deform_attention, 4672 queries", "dice" */
  const StepCase *step;
  const BlockCase *block;
  OpId op;
  const OpCase *c; /* with op */
  const char *dtype;
  bool first; /* time from the process's start to the end of its first step */
} PeerCase;

/* Our side of a case: what to call, and what is known of it. */
typedef struct HarnessSide {
  Work work;
  BenchRow row;
  json_t *request; /* what the peer is asked to set up */
  OpBench op;
  Step step;
  Block block;
  struct DiceMaps *maps;
  bool lacks; /* it could not be made because what it needs is not here */
} HarnessSide;

/* On failure the row holds the case's names. */
bool side_make(HarnessSide *side, const PeerCase *c, const Session *session, Error *error);
void side_free(HarnessSide *side); /* not the row's samples: session_add frees those */

/* ---- all of them ----------------------------------------------------------------------------- */

/* As bench_run. */
int against_run(const BenchOptions *options, Error *error);
/* The child of a first-step measurement: builds the case, makes one step, prints {"rss"}. */
int first_step_main(const BenchOptions *options, const char *name, Error *error);

#endif
