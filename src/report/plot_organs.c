/* A picture of single structures. */
#include <math.h>
#include <string.h>

#include "src/report/plot_parts.h"

static void write_organ(FILE *out, const ResultLabel *item, int line) {
  fprintf(out, "%d\t", line);
  picture_field(out, item->name);
  plot_value(out, item->mean);
  plot_value(out, item->low);
  plot_value(out, item->high);
  fputc('\n', out);
}

/* The i-th of the labels is the first row's that has a figure of this structure. */
static bool new_organ(const Result *result, int i) {
  return i == 0 || result->label[i].label != result->label[i - 1].label;
}

/* One block a row of the table, one line a structure; returns the number of structures, 0: none. */
static int write_organs(const Result *result, const char *folder, const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".tsv", error);
  if (!out) return 0;
  int lines = 0;
  fputs("# structure\tname\tmean\tlow\thigh\n", out);
  for (int r = 0; r < result->rows; r++) {
    int line = -1;
    for (int i = 0; i < result->labels; i++) {
      line += new_organ(result, i);
      if (result->label[i].position == result->row[r].position)
        write_organ(out, &result->label[i], line);
    }
    fputs("\n\n", out); /* gnuplot's index */
    lines = line + 1;
  }
  return picture_finish(out, name, error) ? lines : 0;
}

static void put_organ_tics(FILE *out, const Result *result) {
  int line = -1;
  fputs("set ytics (", out);
  for (int i = 0; i < result->labels; i++) {
    if (!new_organ(result, i)) continue;
    fputs(++line ? ", " : "", out);
    picture_tic(out, result->label[i].name);
    fprintf(out, " %d", line);
  }
  fputs(")\nset ytics scale 0\n", out);
}

/* A row without a figure has no points, but keeps its place in the key: it is missing, not
 * forgotten. */
static void put_organ_rows(FILE *out, const Result *result, const char *name) {
  static const int shapes[] = {7, 5, 9, 13, 11, 6, 4};
  for (int r = 0, rows = result->rows; r < rows; r++) {
    const ResultRow *row = &result->row[r];
    double shift = (r - (rows - 1) / 2.0) * 0.8 / rows;
    bool measured = !isnan(row->mean);
    if (r) fputs(", \\\n  ", out);
    if (measured)
      fprintf(out, "\"%s.tsv\" index %d using 3:($1%+.3f):4:5 with xerrorbars", name, r, shift);
    else
      fprintf(out, "NaN with points");
    fprintf(out, " pt %d ps 0.9 lw 1.5 lc rgb \"%s\" title ", shapes[r % PICTURE_COLOURS],
            picture_colours[r % PICTURE_COLOURS]);
    picture_text(out, row->label);
    fputs(measured ? "" : " . ' (no figure)'", out);
  }
  fputc('\n', out);
}

bool organs_draw(const PlotOf *of, char path[PLOT_PATH], Error *error) {
  const Result *result = of->result;
  const char *folder = of->folder;
  char name[256];
  snprintf(name, sizeof name, "%.200s-per-organ", result->experiment);
  if (!result->labels)
    return fail(error, PLOT_NO_DATA "no figure per structure of %s is stored", result->experiment);
  int lines = write_organs(result, folder, name, error);
  int rows = result->rows;
  FILE *out = lines ? picture_create(folder, name, ".gp", error) : NULL;
  if (!out) return false;
  plot_frame(out, result, 900, 170 + 12 * rows + lines * (16 + 9 * rows));
  fputs("set xlabel ", out);
  plot_metric(out, result);
  fprintf(out,
          " . ' per structure: mean and range over seeds'\nset yrange [%.1f:-0.5]\nunset grid\n"
          "set grid xtics lt 1 lw 1 lc rgb \"#cccccc\"\nset datafile separator \"\\t\"\n"
          "set autoscale xfix\nset offsets graph 0.02, graph 0.02, 0, 0\nset errorbars 0\n",
          lines - 0.5);
  for (int line = 1; line < lines; line += 1)
    fprintf(out,
            "set arrow from graph 0, first %.1f to graph 1, first %.1f nohead lc rgb \"#dddddd\"\n",
            line - 0.5, line - 0.5);
  put_organ_tics(out, result);
  PlotSpan span = PLOT_SPAN_EMPTY;
  for (int i = 0; i < result->labels; i++) {
    plot_span(&span, result->label[i].low);
    plot_span(&span, result->label[i].high);
  }
  plot_tics(out, "x", span);
  fputs("plot ", out);
  put_organ_rows(out, result, name);
  return picture_finish(out, name, error) && picture_draw(folder, name, path, error);
}
