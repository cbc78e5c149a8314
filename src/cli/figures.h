/* Kinds of `harness plot` that run trained weights again. */
#ifndef CLI_FIGURES_H
#define CLI_FIGURES_H

#include "src/cli/cli.h"
#include "src/store/store.h"

/* When argv[1] names such a picture: draws it, *code is the exit code, true. */
bool command_figure(int argc, char **argv, int *code);

/* What the report shows of trained weights, of one experiment's result. A picture newer than its weights is not drawn again. Adds to
 * pictures and open, see src/report/report.h. */
void figures_report(const Common *common, Store *store, const json_t *result, json_t *pictures,
                    json_t *open);

#endif
