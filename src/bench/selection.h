/* Which benches a filter means. */
#ifndef BENCH_SELECTION_H
#define BENCH_SELECTION_H

#include "kernels/op_case.h"
#include "src/bench/bench.h"
#include "src/bench/step.h"

typedef struct Chosen {
  OpId op; /* with c */
  const OpCase *c;
  const StepCase *step; /* or a step */
} Chosen;

/* The chosen benches in the table's order (malloced). A filter is an op's name, which means that
 * op alone; `step` or step:NAME, a whole name meaning that step alone; or a part of "op, case". No
 * filter: every bench case of every op. false with the nearest name when one of the filters fits
 * nothing. */
bool selection_make(const BenchOptions *options, Chosen **list, int *count, Error *error);
/* "conv, quick s0" or "step:unet-32". */
void chosen_name(const Chosen *chosen, char *text, size_t bytes);

#endif
