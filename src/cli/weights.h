/* A stored trial and the file of its weights. */
#ifndef CLI_WEIGHTS_H
#define CLI_WEIGHTS_H

#include "src/store/store.h"

/* The folder whose content was last compared: several trials have the same. */
typedef struct DataSeen {
  char dir[4096], hash[HASH_BYTES];
} DataSeen;

/* The trial's configuration as its process read it, with "home" and "checkpoint"; a new reference.
 * NULL: its weights are gone; with an error: the configuration is none. Sets OpenMP's threads as
 * the trial had them. */
json_t *weights_config(const char *home, const Store *store, const char *hash, const char *config,
                       Error *error);

/* The same of the trial that these digits begin, hash (NULL: not wanted) its whole name; says where
 * its weights are not those of an end. NULL with an error. */
json_t *weights_trial(const char *home, Store *store, const char *digits, char hash[HASH_BYTES],
                      Error *error);

/* Finds the data that the trial was trained on, as its data_hash knows them: data_dir as it was
 * typed, seen from here, or where that was then; sets data_dir. A folder of that name with other
 * content is refused. seen: {{0}} at first. */
bool weights_data(json_t *config, const char *hash, const char *data_hash, DataSeen *seen,
                  Error *error);

#endif
