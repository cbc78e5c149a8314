/* Of a table: which trials' models were made of other Lua text than today's, or than each
 * other's. */
#ifndef REPORT_CODE_NOTES_H
#define REPORT_CODE_NOTES_H

#include "src/report/result.h"

/* Fills other_text and unknown_text of the rows, and mixed_files. home: whose files are today's;
 * NULL: no text counts as another. */
bool code_judge(Store *store, const char *home, Result *result, Error *error);
/* One note a line, each begun by mark. */
void code_notes(const Result *result, const char *mark, FILE *out);

#endif
