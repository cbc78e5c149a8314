/* Of a table: which options its trials were trained with that their experiment would have
 * otherwise today, by defaults that have changed since or by what was typed. */
#ifndef REPORT_DEFAULT_NOTES_H
#define REPORT_DEFAULT_NOTES_H

#include "src/report/result.h"

/* Fills result->otherwise: {"option": ["value", "today's"]} of each row, as texts. home: whose
 * files are today's; nothing is said without it, of an experiment whose file is not there, or of
 * rows that it no longer has. */
bool defaults_judge(Store *store, const char *home, Result *result, Error *error);
/* A note for what all rows have so, and one for each row with more; each begun by mark. */
void default_notes(const Result *result, const char *mark, FILE *out);

#endif
