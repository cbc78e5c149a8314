/* Texts of others - names of files, labels, titles - as a part of what we write: one way for each
 * language. (TeX: sheet.h; HTML: html.h; gnuplot: picture.h; JSON: json_text.h; SQLite:
 * bound.) */
#ifndef REPORT_QUOTE_H
#define REPORT_QUOTE_H

#include <stdio.h>

/* One line of plain text: control characters become blanks. */
void quote_line(const char *text, FILE *out);
/* As lines of at most `width` characters where words allow, the first begun by first, the others by
 * rest. */
void quote_wrapped(const char *first, const char *rest, const char *text, int width, FILE *out);
/* The same as running text of Markdown, also within a table's cell. */
void quote_markdown(const char *text, FILE *out);
/* A field of CSV (RFC 4180). What a spreadsheet would compute, a formula, begins with a ' as one
 * writes texts there; figures stay what they are. */
void quote_csv(const char *text, FILE *out);
/* One word of a shell's command line. */
void quote_shell(const char *text, FILE *out);

#endif
