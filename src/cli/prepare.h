/* From a plan's "data" to a data set on disk and its content hash, and what it says about trials.
 */
#ifndef CLI_PREPARE_H
#define CLI_PREPARE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "src/store/store.h"

/* data: {"kind": "phantom" | "folder" | "none", "name", "dir", "options", "preprocessing"}. A
 * phantom is made when it is not there, unless make is false: then its hash is the text "not made
 * yet". Volumes to be prepared by a plan's preprocessing are, with make. */
bool data_prepare(const json_t *data, const char *home, bool make, bool quiet,
                  char hash[HASH_BYTES], Error *error);
/* Puts into a plan's cells what is known with the data set alone: "split" (src/data/sets/split.h);
 * of planned volumes the "method" of preprocess.h; of others "schemes" of intensities that no
 * channel could have before. A finished plan's are left as they are, but for the method, since
 * volumes are made by today's. Errors, before any trial starts: a fold of a cell that the data set
 * does not have. A phantom that is not made yet settles nothing. */
bool data_settle(json_t *plan, bool finished, Error *error);

#endif
