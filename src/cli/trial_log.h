/* What a trial's latest attempt said, for `runs logs`. */
#ifndef CLI_TRIAL_LOG_H
#define CLI_TRIAL_LOG_H

#include "src/store/store.h"

#include <stdio.h>

/* Of the trial that begins so; the error names the file where there is none. */
bool trial_log(Store *store, const char *prefix, FILE *out, Error *error);

#endif
