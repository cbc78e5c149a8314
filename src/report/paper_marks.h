/* What a paper's table says beside a stored result that repeats it: marks of contradictions at its
 * figures, and its figures of single structures. */
#ifndef REPORT_PAPER_MARKS_H
#define REPORT_PAPER_MARKS_H

#include "src/report/result.h"

/* Puts the paper's table into result->paper, where today's files have it. */
void paper_find(const char *home, Result *result);

/* The marks of those of the result's notes that are about the row's figure ("" none), into text;
 * structure: about this one's instead of the main figure, may be NULL. */
enum { PAPER_MARKS = 64 };
const char *paper_marks(const Result *result, const ResultRow *row, const char *structure,
                        char text[PAPER_MARKS]);
/* The mark of a note, "" where it is of no single figure. */
const char *paper_note_mark(const Result *result, const char *note);

/* The paper's figure of a structure in a row, as a share of 1; NaN: it has none. */
double paper_figure(const Result *result, const ResultRow *row, const char *structure);

/* The paper's table has columns that the result's has not. */
bool paper_wider(const Result *result);

#endif
