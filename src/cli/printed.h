/* The papers' own tables, for `table`: which one its operands name, and what is printed of it. */
#ifndef CLI_PRINTED_H
#define CLI_PRINTED_H

#include "src/report/result.h"

typedef struct Printed {
  const char *home;
  json_t *papers; /* papers_listed */
  json_t *table;  /* paper_table; NULL: no table is asked for, or MaskMed has none of this number */
  bool named;     /* by its paper: it is printed whether there are results or not */
  bool list;      /* the list of tables is asked for: of the paper `only`, NULL: of all */
  const char *only;
  char number[32], name[128], file[64], *others; /* what choice points to */
} Printed;

/* Operands: `what` of choice alone (a number: MaskMed's; a paper: its list; else an experiment), or
 * a paper and the number of its table. Makes choice one that finds what is stored of it. Freed by
 * printed_free, also after a failure. */
bool printed_find(Printed *printed, const char *home, ResultChoice *choice, const char *number,
                  bool list, bool alone, Error *error);
/* Ours with what the paper has besides, the paper's alone (result NULL), or the list. */
void printed_print(const Printed *printed, const Result *result, const char *format, FILE *out);
/* In place of the error that nothing is stored: what makes it, or what there is instead. */
void printed_hint(const Printed *printed, const ResultChoice *choice, Error *error);
void printed_free(Printed *printed);

#endif
