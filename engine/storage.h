/* The types in which a graph's values are stored. */
#ifndef ENGINE_STORAGE_H
#define ENGINE_STORAGE_H

#include "engine/backend.h"
#include "engine/graph.h"

/* With graph->storage BF16: makes BF16 of every activation whose uses all allow it (Kernel.bf16),
 * float of the others, and tells the calls. Else all activations are graph->real. */
void storage_assign(Graph *graph, const Kernel *const *kernels);

/* Whether a graph that asks for this storage can run there; false with the reason: BF16 on a
 * processor that has no arithmetic for it, which is no fault of the graph's. */
bool storage_works(DType storage, const Backend *backend, Error *error);

#endif
