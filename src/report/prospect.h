/* What an experiment's claims could come to, before it is run: the smallest difference that its
 * seeds and cases would show, and how many seeds the paper's differences would need. The spread is
 * that of the table's own stored rows, else of all stored rows of this scale and data set, else a
 * declared one. */
#ifndef REPORT_PROSPECT_H
#define REPORT_PROSPECT_H

#include "src/statistics/power.h"
#include "src/store/store.h"

#include <stdio.h>

typedef struct Prospect {
  Power power; /* units: patients or cases that validate; with folds sigma is their differences' */
  double freedom; /* behind sigma; 0: declared */
  int rows;       /* behind sigma */
  bool own;       /* of this table */
  bool phantom;   /* declared for it */
  int seeds, folds;
  double smallest, largest; /* of the paper's differences */
} Prospect;

/* experiment: of experiment_read. store: NULL: nothing is stored. power.claims is 0 where the
 * experiment claims nothing that could be judged: then nothing is printed. */
bool prospect_make(Store *store, const json_t *experiment, Prospect *prospect, Error *error);
void prospect_print(const Prospect *prospect, FILE *out);
json_t *prospect_json(const Prospect *prospect);

#endif
