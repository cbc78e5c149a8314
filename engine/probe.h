/* Whether a step repeats: forward and backward twice on one batch, and the gradients compared; on
 * the CPU the second time on one thread. What is claimed of a machine's kernels is so seen on the
 * very graph that is trained. */
#ifndef ENGINE_PROBE_H
#define ENGINE_PROBE_H

#include "engine/plan.h"

/* "bitwise"; "ulp": apart by no more than rounding (1e-5 of the largest gradient, 1e-2 where
 * activations are BF16); "none". input[i]->host holds the batch, and does so afterwards; no
 * parameter is changed. The plan is bound. */
const char *probe_run(Plan *plan, Value *const *input, int inputs);

/* What a run writes for the next one, so that a run that is only looked at leaves no trace: a copy,
 * and back, which frees it. */
void *buffers_keep(const Plan *plan);
void buffers_restore(const Plan *plan, void *kept);

#endif
