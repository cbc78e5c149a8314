/* A memory budget for the planner of src/data, exact to the byte: what a training step of nnU-Net's
 * U-Net really takes here, from its plan. */
#ifndef TRAIN_PLAN_BUDGET_H
#define TRAIN_PLAN_BUDGET_H

#include "src/data/plan/planner.h"
#include "src/data/sets/labelling.h"

#include <jansson.h>

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
