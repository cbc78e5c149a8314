/* The experiments that come with the program, by their files. */
#ifndef CLI_EXPERIMENT_FILES_H
#define CLI_EXPERIMENT_FILES_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

enum { EXPERIMENT_FILE = 600, EXPERIMENT_PATH = 4800 };

/* "query_count", "masksam/acdc", ... in order, those of folders after the others. The caller
 * decrefs. */
json_t *experiment_names(const char *home);
/* The path below home of the one that is called so, "query_count" or "masksam/acdc"; NULL: none. */
const char *experiment_file(const char *home, const char *name, char path[EXPERIMENT_FILE]);
/* The file that is meant by what was typed: that file, else one of the program's, "query_count" or
 * "experiments/query_count.lua". false: there is none, with the name that was meant. */
bool experiment_meant(const char *home, const char *typed, char path[EXPERIMENT_PATH],
                      Error *error);

#endif
