/* The memory plan: every tensor of a graph gets an offset in one arena by its lifetime (first
 * written .. last read, in node order), so peak memory is known to the byte before anything is
 * allocated. Offsets are chosen greedily by size (Pisarchyk and Lee, 2020: greedy by size). */
#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H

#include "engine/backend.h"
#include "engine/graph.h"

enum { PLAN_ALIGN = 64 };

typedef struct Plan {
  Graph *graph;
  const Backend *backend;
  size_t bytes;       /* the arena: activations, gradients, inputs, scratch */
  size_t step_bytes;  /* and behind it what a training step on a device keeps (step_memory.h) */
  size_t lower_bound; /* the largest sum of tensors alive at one node: no plan can be smaller */
  void *memory;       /* after plan_bind */
  bool own_memory;
  int64_t constants_of; /* params->changes when the constant nodes ran */
} Plan;

/* Prepares every node's kernel and lays the tensors out. `reuse` = false gives each tensor memory
 * of its own (tests: the result must not change). */
Plan *plan_make(Graph *graph, const Backend *backend, bool reuse, Error *error);
/* What plan_bind allocates. */
size_t plan_memory(const Plan *plan);
/* Points every call at its memory. memory == NULL: allocates plan_memory, or says how much is
 * missing. params must be allocated; a backend with a device gets them placed there. Runs the
 * constant nodes. */
bool plan_bind(Plan *plan, void *memory, Error *error);
/* An input, written to value->host, goes to where the graph reads it. */
void plan_send(const Plan *plan, Value *value);
/* A kept value of the last run; valid until the next one. */
const void *plan_fetch(const Plan *plan, Value *value);
void plan_free(Plan *plan); /* releases kernels' states and memory, not the graph */

/* Runs the graph's nodes in order; with `profile`, adds each node's time to node->seconds. On a
 * device they are marks in its queue, number i before node i, one after the last, to be read by
 * plan_marks when the run has ended; node->launches is then what the node put into the queue. */
void plan_run(Plan *plan, bool profile);
void plan_run_node(const Plan *plan, const Node *node); /* one of them */
/* Runs the constant nodes again if numbers were loaded since (params_changed); plan_run begins with
 * it, what has recorded a run of its own must. */
void plan_refresh(Plan *plan);
void plan_marks(Plan *plan);
/* After profiling `runs` runs: time per op, forward and backward, its share, GFLOP/s, GB/s, the
 * share of the nearer ceiling, launches on a device. */
typedef struct Ceiling {
  double gflops, gbps;
} Ceiling;
void plan_profile_print(const Plan *plan, int runs, const Ceiling *ceiling, FILE *out);
/* The same for single nodes, those that took longest, at most `rows`. */
void plan_profile_nodes(const Plan *plan, int runs, const Ceiling *ceiling, int rows, FILE *out);

#endif
