/* What a device need not do, taken out of a graph that will be planned there: gradients that are
 * nothing but rounding, copies of a value or gradient that is the same, sums of two gradients where
 * the kernel of the second can add to the first. The CPU's graph stays as it was made, to the
 * bit. */
#ifndef ENGINE_REWRITE_H
#define ENGINE_REWRITE_H

#include "engine/graph.h"

/* After storage_assign: what may share memory depends on the types. */
void rewrite_for_device(Graph *graph, const Kernel *const *kernels);

/* What is computed again for the gradients (OP_AGAIN), where memory is not short: by how much a
 * plan grows at most that keeps all of it, and keeping it. The numbers are the same. False: there
 * is nothing. */
size_t repeated_bytes(const Graph *graph);
bool keep_repeated(Graph *graph);

#endif
