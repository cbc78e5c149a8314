/* The HTML report, also written at the end of a sweep. */
#ifndef CLI_CMD_REPORT_H
#define CLI_CMD_REPORT_H

#include "src/cli/cli.h"
#include "src/report/result.h"

/* Writes the report of what is stored (choice: scale, dataset, device or NULL) to a file, whole or
 * not at all; "-": standard output. Returns an exit code: EXIT_NOTHING when nothing is stored. */
int report_make(const Common *common, Store *store, const ResultChoice *choice, const char *path,
                Error *error);

#endif
