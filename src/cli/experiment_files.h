/* The experiments that come with the program, by their files. */
#ifndef CLI_EXPERIMENT_FILES_H
#define CLI_EXPERIMENT_FILES_H

#include <jansson.h>

enum { EXPERIMENT_FILE = 600 };

/* "experiments/query_count.lua", "experiments/masksam/acdc.lua", ... by name, those of folders
 * after the others. The caller decrefs. */
json_t *experiment_files(const char *home);
/* The path below home of the one that is called so, "query_count" or "masksam/acdc"; NULL: none. */
const char *experiment_file(const char *home, const char *name, char path[EXPERIMENT_FILE]);

#endif
