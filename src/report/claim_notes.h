/* What a table says below itself about its intervals and verdicts. */
#ifndef REPORT_CLAIM_NOTES_H
#define REPORT_CLAIM_NOTES_H

#include "src/report/result.h"

#include <stdio.h>

/* One note a line after `mark`. */
void claim_notes(const Result *result, const char *mark, FILE *out);
/* How many seeds a difference needs (power_seeds), to two digits: "about 400 seeds". */
void claim_need(double seeds, FILE *out);

#endif
