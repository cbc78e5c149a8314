/* Names of files are bytes; what is stored and exchanged (JSON, SQLite, HTML) is UTF-8. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/error.h"

/* Bytes of the UTF-8 character at text; 0: it is none (cut short, overlong, a surrogate). */
int utf8_length(const char *text);
/* The text with %XX in place of each byte that is of no character; to be freed. */
char *utf8_shown(const char *text);
/* Columns of a terminal that these bytes take: a combining mark none, an East Asian character
 * two. */
int utf8_width(const char *text, size_t bytes);
/* Refuses a path that could not be stored, naming the part of it, and says what helps. */
bool utf8_check(const char *name, Error *error);

#endif
