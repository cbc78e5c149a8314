/* Batches prepared ahead of the training by threads of their own. Which thread makes a batch does
 * not matter: it is a function of (seed, step), so any number of workers gives the same bits. */
#ifndef DATA_LOADER_H
#define DATA_LOADER_H

#include "src/data/batches/sampler.h"

enum { WORKERS_MAX = 64 };

typedef struct Loader Loader;

/* Starts `workers` threads that make the batches of steps first, first + 1, .. past - 1, at most
 * workers + 1 of them ahead of loader_next; 0: no thread, loader_next makes the batch itself. The
 * sampler must outlive the loader. The threads take no signals. */
bool loader_make(Loader **loader, const Sampler *sampler, int workers, uint64_t first,
                 uint64_t past, Error *error);
/* Ends the threads after the batches they are at; pending batches are dropped. */
void loader_free(Loader *loader);

/* The next step's batch: image (N,D,H,W,C), label (N,D,H,W). To be called from one thread, past -
 * first times at most. Returns the seconds spent waiting for it (without workers: making it). */
double loader_next(Loader *loader, float *image, int32_t *label);

#endif
