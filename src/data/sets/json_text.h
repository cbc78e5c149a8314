/* JSON for people: one field a line, lists of numbers on one line, numbers as short as they read
 * back the same. */
#ifndef DATA_JSON_TEXT_H
#define DATA_JSON_TEXT_H

#include "base/error.h"

#include <jansson.h>

/* A file by jansson's flags as a new reference, with or without a byte-order mark. The error names
 * file, line and column; NULL then. */
json_t *json_file_load(const char *path, size_t flags, Error *error);
/* A text, or a name of a file that need not be UTF-8: %XX stands for bytes that are not. */
json_t *json_name(const char *text);
/* A document by jansson's flags, and a line end. A document that cannot be written as JSON, NULL
 * first of all, is our mistake: names are checked where they come in, or are json_name's. */
void json_document(const json_t *json, FILE *out, size_t flags);

void json_text_print(const json_t *json, FILE *out);
/* The file, whole or not at all. */
bool json_text_write(const json_t *json, const char *path, Error *error);

#endif
