/* What the pictures of a result have in common. */
#ifndef REPORT_PLOT_PARTS_H
#define REPORT_PLOT_PARTS_H

#include "src/report/plot.h"

/* The title and the key below the picture. */
void plot_frame(FILE *out, const Result *result, int width, int height);
/* "Dice (DSC)", or the name alone, as a string of gnuplot's. */
void plot_metric(FILE *out, const Result *result);
/* A field of a data file behind others. */
void plot_value(FILE *out, double value);

/* Least and greatest of values; those that are NaN do not count. */
typedef struct PlotSpan {
  double low, high;
} PlotSpan;
#define PLOT_SPAN_EMPTY                                                                            \
  { 1e300, -1e300 }
void plot_span(PlotSpan *span, double value);
/* Tics of the axis ("x") at even steps of 1, 2 or 5, all with as many digits as these need: 0.80,
 * 0.82, 0.84. */
void plot_tics(FILE *out, const char *axis, PlotSpan span);

#endif
