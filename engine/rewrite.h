/* What a device need not do, taken out of a graph that will be planned there: gradients that are
 * nothing but rounding, copies of a gradient that is the same, sums of two gradients where the
 * kernel of the second can add to the first. The CPU's graph stays as it was made, to the bit. */
#ifndef ENGINE_REWRITE_H
#define ENGINE_REWRITE_H

#include "engine/graph.h"

/* After storage_assign: what may share memory depends on the types. */
void rewrite_for_device(Graph *graph, const Kernel *const *kernels);

#endif
