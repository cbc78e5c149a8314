/* From a plan's "data" to a data set on disk and its content hash. */
#ifndef CLI_PREPARE_H
#define CLI_PREPARE_H

#include <jansson.h>
#include <stdbool.h>

#include "kernels/error.h"
#include "src/store/store.h"

/* data: {"kind": "phantom" | "folder" | "none", "name", "dir", "options", "preprocessing"}. A
 * phantom is made when it is not there, unless make is false: then its hash is the text "not made
 * yet". Volumes to be prepared by a plan's preprocessing are, with make. */
bool data_prepare(const json_t *data, bool make, bool quiet, char hash[HASH_BYTES], Error *error);

#endif
