/* An estimate (cmd_estimate.c's object) as a reader sees it: a table, and what it means. */
#ifndef CLI_ESTIMATE_TEXT_H
#define CLI_ESTIMATE_TEXT_H

#include <jansson.h>
#include <stdio.h>

enum { HOURS_TEXT = 32 };

/* A time in hours as text, in the unit that reads best. */
const char *hours_text(double hours, char text[HOURS_TEXT]);

void estimate_print(const json_t *estimate, FILE *out);

#endif
