/* JSON as this program writes it: to people one field a line and lists of numbers on one line, to
 * programs a document a line; numbers as short as they read back the same. */
#ifndef DATA_JSON_TEXT_H
#define DATA_JSON_TEXT_H

#include "base/error.h"

#include <jansson.h>

/* A file by jansson's flags as a new reference, with or without a byte-order mark. The error names
 * file, line and column; NULL then. */
json_t *json_file_load(const char *path, size_t flags, Error *error);
/* A text, or a name of a file that need not be UTF-8: %XX stands for bytes that are not. */
json_t *json_name(const char *text);
/* A document, and a line end. One that cannot be written as JSON, NULL first of all, is our
 * mistake: names are checked where they come in, or are json_name's. */
void json_text_print(const json_t *json, FILE *out);
/* The same on one line. */
void json_line(const json_t *json, FILE *out);
/* The number as it stands there: 0.1, 1e-07, 3.0. */
enum { NUMBER_TEXT = 40 };
const char *json_number_text(double value, char text[NUMBER_TEXT]);
/* Real numbers of a value, in place, to so many digits: what is measured is not known to more. */
void json_round(json_t *json, int digits);
/* The file, whole or not at all. */
bool json_text_write(const json_t *json, const char *path, Error *error);

#endif
