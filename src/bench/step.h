/* Whole training steps: forward, loss, backward, clip and update of a model made through Lua from
 * an experiment's options, on random images and labels. */
#ifndef BENCH_STEP_H
#define BENCH_STEP_H

#include "engine/stepper.h"
#include "lua/bind.h"
#include "src/bench/row.h"

typedef struct StepCase {
  const char *name;
  int classes;
  const char *overrides[10]; /* of experiments/query_count.lua, or its model's own (step.c) */
} StepCase;

extern const StepCase step_cases[]; /* ended by a NULL name */

typedef struct Step {
  const Backend *backend;
  json_t *config;
  Params *params;
  Optimizer optimizer;
  Graph *graph;
  Plan *plan;
  Model model;
  Stepper stepper;
  Value *boxes; /* that prompt; NULL: the model asks for none */
  int classes, channels, runs;
  float *image, *corners; /* the batch, copied into the graph's inputs before every step */
  int32_t *labels;
} Step;

const char *step_dtype(const StepCase *c); /* "f32" or "bf16" */
/* Whether it is benched there: steps of the paper's plan want a GPU. */
bool step_on(const StepCase *c, const Backend *backend);
/* What the case needs is there; false with the reason, which is no fault of the step's. */
bool step_works(const StepCase *c, const Backend *backend, Error *error);
bool step_make(Step *step, const StepCase *c, const char *home, int threads, Error *error);
/* The same elsewhere than on the CPU. */
bool step_make_on(Step *step, const StepCase *c, const Backend *backend, const char *home,
                  int threads, Error *error);
void step_free(Step *step);
void step_run(void *step);
void step_name(const StepCase *c, BenchRow *row); /* kernel, pass and dtype */
/* Shape, cost, least time (the sum of the nodes' own least times) and planned bytes. A small net
 * that stays in the cache can need less than the memory's ceiling allows. */
void step_describe(const Step *step, const StepCase *c, const Machine *machine, BenchRow *row);
/* The loss of the last step: not finite when something went wrong. */
double step_loss(const Step *step);

#endif
