/* An estimate (cmd_estimate.c's object) as a reader sees it: a table, and what it means. */
#ifndef CLI_ESTIMATE_TEXT_H
#define CLI_ESTIMATE_TEXT_H

#include <jansson.h>
#include <stdio.h>

void estimate_print(const json_t *estimate, FILE *out);

#endif
