/* Where what is made of a data set lies: fingerprint.json, plan.json and preprocessed/. Beside
 * dataset.json; where that folder cannot be written to, in a folder NAME-KEY of the same layout
 * below `--cache DIR`, HARNESS_CACHE or RESULTS/derived, in which a link `source` leads back.
 * A place elsewhere than in RESULTS/derived leaves a link there, by which later commands find
 * it; where not even that can be written, HARNESS_CACHE tells them. */
#ifndef DATA_DERIVED_H
#define DATA_DERIVED_H

#include "base/error.h"

/* The folder in which to look, to be freed: the data set's own unless there is another. */
char *derived_find(const char *dir, const char *home);
/* That of the two which has the file; to be freed. */
char *derived_find_file(const char *dir, const char *home, const char *name);
/* The folder in which to write, to be freed; made where it is not the data set's own, which is said
 * on standard error. cache: as given, NULL: not. NULL after an error: nothing can be written. */
char *derived_make(const char *dir, const char *home, const char *cache, Error *error);
/* What `--cache` says, else HARNESS_CACHE; NULL: neither does. typed: NULL, there is no option. */
const char *derived_cache(const char *typed);
/* "ROOT/NAME-KEY", to be freed: a folder of this data set's own. NULL: `dir` does not exist. */
char *derived_below(const char *root, const char *dir);

#endif
