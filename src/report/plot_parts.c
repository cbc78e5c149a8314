#include "src/report/plot_parts.h"

#include <math.h>
#include <string.h>

#include "src/data/metrics/metric.h"

void plot_metric(FILE *out, const Result *result) {
  const MetricRow *metric = metric_stored(result->metric);
  char word[64], own[RESULT_METRIC];
  bool two = metric && metric->paper && strcmp(metric->head, metric->paper) != 0;
  if (two) snprintf(word, sizeof word, "%s (%s)", metric->head, metric->paper);
  picture_text(out, two ? word : result_metric(result, own));
}

static void put_title(FILE *out, const Result *result) {
  fputs("set title ", out);
  if (result->table) fprintf(out, "'Table %d: ' . ", result->table);
  picture_text(out, result->title);
  fputs(" . \"\\n{/*0.8 scale \" . ", out);
  picture_text(out, result->scale);
  fputs(" . ', ' . ", out);
  picture_text(out, result->dataset);
  fputs(" . ', ' . ", out);
  picture_text(out, result->device);
  fprintf(out, " . ', %d seed%s}'\n", result->seeds, result->seeds > 1 ? "s" : "");
}

void plot_frame(FILE *out, const Result *result, int width, int height) {
  picture_frame_sized(out, width, height);
  fputs("set key outside below left Left reverse vertical maxcols 2 samplen 2 height 1\nset xlabel "
        "offset 0,0.4\n",
        out);
  put_title(out, result);
}

void plot_value(FILE *out, double value) {
  if (isnan(value))
    fputs("\tNaN", out);
  else
    fprintf(out, "\t%.6g", value);
}

void plot_span(PlotSpan *span, double value) {
  if (value < span->low) span->low = value;
  if (value > span->high) span->high = value;
}

void plot_tics(FILE *out, const char *axis, PlotSpan span) {
  enum { ABOUT = 6 };
  if (!(span.high > span.low)) return;
  double step = (span.high - span.low) / ABOUT, power = pow(10, floor(log10(step)));
  double share = step / power, even = share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10;
  int digits = (int)ceil(-log10(even * power) - 1e-9);
  fprintf(out, "set %stics %.10g\nset format %s \"%%.%df\"\n", axis, even * power, axis,
          digits < 0 ? 0 : digits);
}
