/* A stored trial and the file of its weights. */
#ifndef CLI_WEIGHTS_H
#define CLI_WEIGHTS_H

#include "src/store/store.h"

/* The trial's configuration as its process read it, with "home" and "checkpoint"; a new reference.
 * NULL: its weights are gone. Sets OpenMP's threads as the trial had them. */
json_t *weights_config(const char *home, const Store *store, const char *hash, const char *config);

#endif
