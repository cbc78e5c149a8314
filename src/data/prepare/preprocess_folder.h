/* The cache of a whole data set: a file preprocessed/CASE.vol each, where derived.h says. */
#ifndef DATA_PREPROCESS_FOLDER_H
#define DATA_PREPROCESS_FOLDER_H

#include "src/data/prepare/cache.h"

typedef struct PreprocessOptions {
  int jobs;    /* cases at a time, fewer where memory is short */
  bool verify; /* hash every byte of what is there already, not only its header */
  bool quiet;  /* no progress on standard error */
} PreprocessOptions;

typedef struct PreprocessOutcome {
  int made, kept, failed;
  double bytes; /* of the cache's files */
} PreprocessOutcome;

/* Makes what is missing, stale or damaged; a case that cannot be prepared is told on standard error
 * and the others go on. False with the first failure when there was one (the rest is there and
 * usable), or when the cache cannot be written at all. An interrupted call is continued by the
 * next. */
bool preprocess_folder(const Dataset *dataset, const Preprocessing *preprocessing,
                       const PreprocessOptions *options, PreprocessOutcome *outcome, Error *error);
/* Whether all cases have a volume that is neither stale nor damaged; which do (dataset->cases), if
 * not NULL. */
bool preprocess_fresh(const Dataset *dataset, const Preprocessing *preprocessing, bool *which);
/* The cached case, to be freed: "preprocessed/CASE.vol" in dataset->derived. */
char *preprocess_path(const Dataset *dataset, int index);
/* Puts the cache elsewhere: makes `target` and links DIR/preprocessed to it. Errors: the cache is
 * already somewhere else. */
bool preprocess_place(const Dataset *dataset, const char *target, Error *error);

#endif
