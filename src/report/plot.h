/* Pictures: a data file (.tsv), the gnuplot script (.gp) that draws it, and what it draws (.svg,
 * and .png where gnuplot has pngcairo), all under FOLDER/plots, so that a picture can be redone by
 * hand. */
#ifndef REPORT_PLOT_H
#define REPORT_PLOT_H

#include "src/report/picture.h"
#include "src/report/result.h"

/* What is drawn. */
typedef struct PlotOf {
  Store *store;
  const char *folder;   /* its pictures lie in FOLDER/plots */
  const Result *result; /* of result_load; NULL: of a bench run */
  int64_t run;          /* the bench run's number (src/store/bench_runs.h), 0: the newest */
} PlotOf;

typedef enum PlotSubject {
  PLOT_RESULT,
  PLOT_CLAIMS,
  PLOT_PLANS,
  PLOT_SELF_TEST,
  PLOT_BENCH
} PlotSubject;

/* Why nothing is drawn begins so where it is for want of figures, which a run makes. */
#define PLOT_NO_DATA "no data yet: "

/* A row of plots.def. path: the SVG. */
typedef struct PlotKind {
  const char *word, *caption;
  PlotSubject of;
  bool (*draw)(const PlotOf *of, char path[PLOT_PATH], Error *error);
} PlotKind;

typedef enum PlotId {
#define PLOT(id, word, of, caption) PLOT_##id,
#define FIGURE(id, word, experiment, caption)
#include "src/report/plots.def"
#undef PLOT
#undef FIGURE
  PLOT_KINDS
} PlotId;
extern const PlotKind plot_kinds[PLOT_KINDS];
#define PLOT(id, word, of, caption) bool id##_draw(const PlotOf *, char[PLOT_PATH], Error *);
#define FIGURE(id, word, experiment, caption)
#include "src/report/plots.def"
#undef PLOT
#undef FIGURE

/* The kind draws such a result. */
bool plot_fits(const PlotKind *kind, const Result *result);
/* The kind with this word, of several the one that fits the result (NULL: the first). */
const PlotKind *plot_find(const char *word, const Result *result);

#endif
