/* Lines that a terminal does not break in the middle of words. */
#ifndef REPORT_WRAP_H
#define REPORT_WRAP_H

#include <stdio.h>

/* Characters in a line of the terminal that `out` is, 80 at most; 0: it is none, and what reads it
 * wants whole lines. */
int wrap_width(FILE *out);
/* Lines no wider than `width` where their words allow it; what goes on is set in by two more blanks
 * than its line. width 0: as they are. */
void wrap_text(const char *text, int width, FILE *out);

/* What is written to the stream that begins it comes out so when it ends. */
typedef struct Wrapping {
  FILE *out, *memory; /* memory NULL: out is no terminal, and is written to */
  char *text;
  size_t bytes;
} Wrapping;
FILE *wrap_begin(Wrapping *wrapping, FILE *out);
void wrap_end(Wrapping *wrapping);

#endif
