/* JSON for people: one field a line, lists of numbers on one line, numbers as short as they read
 * back the same. */
#ifndef DATA_JSON_TEXT_H
#define DATA_JSON_TEXT_H

#include "kernels/error.h"

#include <jansson.h>

void json_text_print(const json_t *json, FILE *out);
/* The file, whole or not at all. */
bool json_text_write(const json_t *json, const char *path, Error *error);

#endif
