/* The Lua files that a trial's model came from: what they said when it ran and what they say today.
 * A text that differs in comments and white space alone is the same (lua_tokens). It is no part of
 * a trial's identity: another text marks a trial, and `run --retry stale` runs it again. */
#ifndef STORE_CODE_H
#define STORE_CODE_H

#include "src/store/store.h"

/* What the files of one home say today; each is read once. The caller clears with code_free. */
typedef struct CodeToday {
  const char *home;
  json_t *read;
} CodeToday;
void code_free(CodeToday *today);

/* The hash of a file's tokens; "": it cannot be read. file: as ModelFile names it (lua/bind.h).
 * model_path: of a trial whose model lies outside home, where; else NULL or "". */
const char *code_today(CodeToday *today, const char *file, const char *model_path);

typedef enum CodeState { CODE_SAME, CODE_OTHER, CODE_UNKNOWN } CodeState;

/* Of the attempt that counts for a stored trial, or where none does of the newest one that built
 * its model. *file: of CODE_OTHER the first that differs, to be freed. CODE_UNKNOWN: no text is
 * stored. */
bool code_of_trial(Store *store, CodeToday *today, int64_t trial, const char *model_path,
                   CodeState *state, char **file, Error *error);

#endif
