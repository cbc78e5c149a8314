/* What an experiment would cost, before it is run: parameters, work and memory from the plans,
 * hours from a rate that is measured or was stored. Nothing of a step's size is allocated unless
 * the step is small enough to be timed. */
#ifndef BENCH_ESTIMATE_H
#define BENCH_ESTIMATE_H

#include <jansson.h>

#include "base/error.h"

/* Where it is estimated. gpu: a name of kernels/cuda/devices, for which cuDNN plans here without
 * it; NULL: this machine. */
typedef struct EstimatePlace {
  const char *home, *db, *gpu;
} EstimatePlace;

/* experiment: of experiment_read. One object that the caller decrefs:
 * {"schema", "experiment", "scale", "threads", "seeds", "hours" (all cells), "rate": {"gflops",
 *  "from"} where it was needed, "rows": [{"key", "label", "parameters", "flops", "train_bytes",
 *  "infer_bytes", "weight_bytes", "steps", "step_s", "hours" (one seed), "from"}]}.
 * train_bytes: arena, weights, gradients, momenta; infer_bytes: arena and weights; from: "measured"
 * or "rate". db: where a bench may be stored. With a GPU: {"gpu", "gpu_bytes"}, and of each row in
 * place of times "launches" and "least_bytes" (moved if each operand of a node is, once), of a
 * step; "scratch_bytes", the most that a node's kernels and libraries take beside its operands.
 * False: a row cannot be built, with the reason. */
bool estimate_make(const json_t *experiment, const EstimatePlace *place, json_t **estimate,
                   Error *error);
void estimate_print(const json_t *estimate, FILE *out);

#endif
