/* The types in which a graph's values are stored. */
#ifndef ENGINE_STORAGE_H
#define ENGINE_STORAGE_H

#include "engine/graph.h"

/* With graph->storage BF16: makes BF16 of every activation whose uses all allow it (Kernel.bf16),
 * float of the others, and tells the calls. Else all activations are graph->real. */
void storage_assign(Graph *graph, const Kernel *const *kernels);

/* The processor multiplies bf16 (AVX512-BF16; every one with AMX has it too): without, BF16 storage
 * would be slower than float. */
bool processor_has_bf16(void);

#endif
