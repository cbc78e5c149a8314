/* Options' values: compared, and as they are typed. */
#ifndef REPORT_OPTION_WORDS_H
#define REPORT_OPTION_WORDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Equal as an option: 1 is 1.0, and a number survives its way through a text. */
bool option_same(const json_t *a, const json_t *b);
/* As it is typed: 0.1, fsad, 16,32,64; lists of lists as JSON. */
void option_put(const json_t *value, FILE *out);
/* name=value, malloced. */
char *option_words(const char *name, const json_t *value);

#endif
