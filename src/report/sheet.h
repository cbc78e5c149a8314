/* A small table of texts and the formats it can be written in. */
#ifndef REPORT_SHEET_H
#define REPORT_SHEET_H

#include <stdbool.h>
#include <stdio.h>

enum { SHEET_CELL = 160 };

typedef struct Sheet {
  int rows, columns; /* row 0 is the head */
  char (*cell)[SHEET_CELL];
} Sheet;

Sheet sheet_make(int rows, int columns);
void sheet_free(Sheet *sheet);
/* One line of text: control characters become blanks, what is too long is cut. */
void sheet_set(Sheet *sheet, int row, int column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void sheet_drop(Sheet *sheet, int column);
/* Leaves out columns behind the first in which no row has anything. */
void sheet_drop_empty(Sheet *sheet);
/* Takes away a UTF-8 character that lost its end when a text was cut to fit. */
void sheet_trim(char *text);
const char *sheet_get(const Sheet *sheet, int row, int column);

/* Column 0 and, when text_last, the last one are set to the left, the others to the right. */
void sheet_text(const Sheet *sheet, bool text_last, FILE *out);
/* Columns in blocks that are no wider than `width`, with column 0 before each; group (NULL: none)
 * names what neighbouring columns belong to, "" nothing: above them, and they stay together where
 * they fit. Words are set to the left, numbers by their ends without marks: "0.762[1]". */
void sheet_blocks(const Sheet *sheet, const char *const *group, int width, FILE *out);
/* sheet_text where that fits the terminal that `out` is, or it is none; else sheet_blocks. */
void sheet_fitted(const Sheet *sheet, bool text_last, FILE *out);
/* At most SHEET_WIDTH wide, whatever `out` is: where it is wider, columns whose rows all have the
 * same are told below instead, in the order in which `told` (to NULL) has their heads, until it
 * fits; then sheet_blocks. */
enum { SHEET_WIDTH = 80 };
void sheet_narrow(Sheet *sheet, const char *const *told, FILE *out);
void sheet_markdown(const Sheet *sheet, bool text_last, FILE *out);
void sheet_csv(const Sheet *sheet, FILE *out);                 /* RFC 4180 */
void sheet_tex(const Sheet *sheet, bool text_last, FILE *out); /* booktabs, the tabular alone */

#endif
