/* A block of SAM's image encoder (norm, attention in windows or over the whole slice, norm, MLP;
 * two residual sums): forward, and the gradients of its input and of every weight. */
#ifndef BENCH_BLOCK_H
#define BENCH_BLOCK_H

#include "engine/plan.h"
#include "src/bench/row.h"

typedef struct BlockCase {
  const char *name;
  int grid, width, heads, window; /* tokens along each side; window 0: global */
} BlockCase;

extern const BlockCase block_cases[]; /* ended by a NULL name */

typedef struct Block {
  Params *params;
  Graph *graph;
  Plan *plan;
  Value *target; /* the loss's */
} Block;

bool block_make(Block *block, const BlockCase *c, DType storage, const Backend *backend,
                Error *error);
void block_free(Block *block);
void block_run(void *block);
void block_describe(const Block *block, const BlockCase *c, const Machine *machine, BenchRow *row);

#endif
