/* What a configuration costs, from its plan: nothing is allocated to find out. Where it fits, a few
 * steps on noise say what it really takes. */
#ifndef TRAIN_FOOTPRINT_H
#define TRAIN_FOOTPRINT_H

#include "engine/optimizer.h"
#include "engine/plan.h"
#include "lua/bind.h"
#include "src/data/plan/planner.h"
#include "src/data/sets/labelling.h"

#include <jansson.h>

typedef struct Footprint {
  const Backend *backend;
  Params *params;
  Optimizer optimizer;
  Graph *graph; /* of the training step */
  Plan *plan;
  Model model;
  Labelling labelling;
  int64_t parameters, trained; /* numbers; of them those that a step changes */
  double flops;                /* a training step */
  size_t train_bytes;          /* what the step's plan takes */
  size_t infer_bytes;          /* arena of one patch's inference; 0: the model has none */
  size_t weight_bytes;         /* weights, gradients, average and the optimiser's states */
  double step_s;               /* after footprint_run: median step */
  double allocated_bytes; /* after footprint_run: by how much the heap grew, or a device's memory */
  double resident_bytes;  /* and the process, with some MiB of the libraries' own */
  double macs;            /* of one patch's inference (macs.h) */
  double least_bytes;     /* a training step has to move, each operand of a node once */
} Footprint;

/* Plans the training and the inference graph. config: a cell's, with "home". backend: NULL, that of
 * the configuration's device. labelling: what a data set's labels stand for. */
bool footprint_make(Footprint *footprint, const json_t *config, const Backend *backend,
                    int channels, const Labelling *labelling, Error *error);
void footprint_free(Footprint *footprint);
/* Bytes of a training process beyond its program, or on its device: the plan's and the weights. */
double footprint_peak(const Footprint *footprint);
/* Whether the step fits into half of the free memory and into `flops`. */
bool footprint_fits(const Footprint *footprint, double flops);
/* Allocates, fills every input with noise (labels with blocks of 8 voxels), and runs steps with
 * their update for about `seconds`, two at least. */
bool footprint_run(Footprint *footprint, const json_t *config, double seconds, Error *error);

/* Of a backend_planned: the launches of a training step without its update, counted by walking
 * through it. */
bool footprint_launches(Footprint *footprint, int64_t *launches, Error *error);

/* A trial of an experiment of kind "plan": events plan, metric (planned_bytes, and where the step
 * fits step_s, allocated_bytes and resident_bytes, split "plan") and end; returns the exit code. */
int footprint_trial(const json_t *config, FILE *events);

/* ---- a memory budget for the planner of src/data --------------------------------------------- */

/* Exact to the byte: what a training step of nnU-Net's U-Net really takes here, from its plan. */
typedef struct PlanBudget PlanBudget;

/* bytes: of one training process, weights included. home: where lua/ is. */
bool plan_budget_make(PlanBudget **budget, const char *home, double bytes, int channels,
                      const Labelling *labelling, Error *error);
void plan_budget_free(PlanBudget *budget);
/* A PlanCost; budget is a PlanBudget. */
bool plan_budget_cost(void *budget, const Topology *topology, int batch, double *share,
                      Error *error);

/* Whether a network can be built and trained as this plan.json says: the U-Net alone, without
 * allocating it. `where` begins the error. */
bool plan_trains(const char *home, const json_t *plan, int channels, const Labelling *labelling,
                 const char *where, Error *error);

#endif
