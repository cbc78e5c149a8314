/* The two sides of a comparison, ready to be timed in turn. */
#ifndef BENCH_DUEL_H
#define BENCH_DUEL_H

#include "src/bench/op_bench.h"
#include "src/bench/peer.h"
#include "src/bench/session.h"
#include "src/bench/step.h"

typedef struct DuelCase {
  const char *name; /* "step:unet-32", "deform_attention, 4672 queries", "dice" */
  const StepCase *step;
  OpId op;
  const OpCase *c; /* with op */
  const char *dtype;
  bool first; /* time from the process's start to the end of its first step */
} DuelCase;

/* Our side of a case: what to call, and what is known of it. */
typedef struct Ours {
  Work work;
  BenchRow row;
  json_t *request; /* what the peer is asked to set up */
  OpBench op;
  Step step;
  struct DiceMaps *maps;
  bool lacks; /* it could not be made because what it needs is not here */
} Ours;

/* On failure the row holds the case's names. */
bool ours_make(Ours *ours, const DuelCase *c, const Session *session, Error *error);
void ours_free(Ours *ours); /* not the row's samples: session_add frees those */

#endif
