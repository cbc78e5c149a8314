/* Which sweeps of an experiment are stored, for `table`: a table is of one of them. */
#ifndef CLI_SWEEPS_H
#define CLI_SWEEPS_H

#include "src/report/result.h"

/* [{"run", "scale", "dataset", "device", "rows", "seeds", "steps", "trials", "done", "used"}] of
 * what is chosen, the one that was used last first. The caller decrefs. */
bool sweeps_list(Store *store, const ResultChoice *choice, json_t **sweeps, Error *error);
void sweeps_print(const json_t *sweeps, bool json, FILE *out);

/* Chooses the newest sweep all of whose trials have these options, "steps=250"; false: none has. */
bool sweeps_choose(Store *store, ResultChoice *choice, char *const *word, int words, Error *error);
/* Says that others of the same scale, data and device were trained with other steps. */
void sweeps_tell(Store *store, const ResultChoice *choice, const Result *result, FILE *out);

#endif
