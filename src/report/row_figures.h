/* The figures of a plan's rows as the statistics want them: trials that ended in the order of their
 * seeds (the folds of a seed together), cases by name, patients as units. */
#ifndef REPORT_ROW_FIGURES_H
#define REPORT_ROW_FIGURES_H

#include "src/statistics/unit_figures.h"
#include "src/store/store.h"

typedef struct RowFigures {
  Figures *row; /* (rows), by position */
  int rows;
  int labels;
  int *label;    /* (labels) the structures' numbers */
  int *unit;     /* (cases) */
  bool patients; /* some unit has several cases */
} RowFigures;

/* metric: NULL: the experiment's. On false there is nothing to free. */
bool row_figures_load(Store *store, int64_t plan_id, const char *metric, RowFigures *figures,
                      Error *error);
void row_figures_free(RowFigures *figures);

/* One structure of a row alone; value (trials * cases) becomes its memory. */
Figures row_figures_of(const RowFigures *figures, int row, int label, double *value);

#endif
