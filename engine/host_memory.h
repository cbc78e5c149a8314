/* Blocks of the host's memory for activations, weights, scratch and whatever is timed on them. */
#ifndef ENGINE_HOST_MEMORY_H
#define ENGINE_HOST_MEMORY_H

#include <stddef.h>

/* At least `bytes`, aligned to a cache line, not initialised; NULL without memory; free() frees.
 * Large blocks are asked to lie in huge pages: with pages of 4 KiB, walking hundreds of MiB in
 * another order than that of the addresses (channels of a skip, corners of a sample) waits for page
 * tables. */
void *host_alloc(size_t bytes);

#endif
