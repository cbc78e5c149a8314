/* Pieces of a web page that needs nothing beside itself: harmless text, tables, pictures. */
#ifndef REPORT_HTML_H
#define REPORT_HTML_H

#include "base/error.h"
#include "src/report/sheet.h"

/* Writes text as text: what HTML would read as a tag, an entity or the end of an attribute is
 * escaped, control characters become blanks, bytes that are no UTF-8 become U+FFFD. */
void html_text(const char *text, FILE *out);
/* printf, then html_text. */
void html_print(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Head and foot of the page: style for light, dark and print. */
void html_open(const char *title, FILE *out);
void html_close(FILE *out);

/* A sheet as <table>; a cell that is a verdict or a status gets the class of its colour. */
void html_sheet(const Sheet *sheet, bool text_last, FILE *out);
/* Lines of a text as a list. */
void html_lines(const char *lines, FILE *out);

/* The picture of a file: an .svg inline, with `fN-` before each of its ids, so that several stand
 * in one page; a .png as a data URI. figure: N, unique on the page. */
bool html_picture(const char *path, const char *caption, int figure, FILE *out, Error *error);

#endif
