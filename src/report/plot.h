/* Pictures: a data file (.tsv), the gnuplot script (.gp) that draws it, and what it draws (.svg,
 * and .png where gnuplot has pngcairo), all under FOLDER/plots, so that a picture can be redone by
 * hand. */
#ifndef REPORT_PLOT_H
#define REPORT_PLOT_H

#include "src/report/picture.h"
#include "src/report/result.h"

/* Paper against measured with error bars, one group a row. path: the SVG. */
bool plot_experiment(const json_t *result, const char *folder, char path[PLOT_PATH], Error *error);
/* A dot a structure and row of the table, with the range over its seeds. */
bool plot_organs(const json_t *result, const char *folder, char path[PLOT_PATH], Error *error);
/* Loss over steps, one line a row (mean over its trials). Reads the curves from the store. */
bool plot_curves(Store *store, const json_t *result, const char *folder, char path[PLOT_PATH],
                 Error *error);
/* The three above under one signature. */
typedef struct PlotKind {
  const char *name; /* of `harness plot NAME EXPERIMENT`; empty: `harness plot EXPERIMENT` */
  const char *caption;
  bool (*draw)(Store *store, const json_t *result, const char *folder, char path[PLOT_PATH],
               Error *error);
} PlotKind;
extern const PlotKind plot_kinds[];
enum { PLOT_KINDS = 3 };

/* The rows of a bench run (src/store/bench.h; 0: the newest) as points under the ceilings that were
 * measured with them. */
bool plot_roofline(Store *store, int64_t run, const char *folder, char path[PLOT_PATH],
                   Error *error);

#endif
