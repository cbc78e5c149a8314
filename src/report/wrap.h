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

#endif
