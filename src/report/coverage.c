#include "src/report/coverage.h"
#include "base/bytes.h"
#include "src/report/code_notes.h"
#include "src/report/plot.h"
#include "src/report/quote.h"
#include "src/report/written.h"

#include <math.h>
#include <string.h>

/* ---- table ----------------------------------------------------------------------------------- */

static void put_number(Sheet *sheet, int row, int column, double value, const char *format) {
  if (isnan(value))
    sheet_set(sheet, row, column, "-");
  else
    sheet_set(sheet, row, column, format, value);
}

Sheet coverage_sheet(const Result *result) {
  static const char *const heads[] = {"size",  "bridge",  "scales",      "parameters",
                                      "GFLOP", "planned", "allocated %", "step ms"};
  int columns = sizeof heads / sizeof *heads;
  Sheet sheet = sheet_make(result->points + 1, columns);
  for (int i = 0; i < columns; i++) sheet_set(&sheet, 0, i, "%s", heads[i]);
  for (int i = 0; i < result->points; i++) {
    const ResultPoint *point = &result->point[i];
    sheet_set(&sheet, i + 1, 0, "%s", point->scale);
    sheet_set(&sheet, i + 1, 1, "%s", point->bridge);
    sheet_set(&sheet, i + 1, 2, "%d", point->covered);
    put_number(&sheet, i + 1, 3, point->parameters, "%.0f");
    put_number(&sheet, i + 1, 4, point->flops / 1e9, "%.2f");
    sheet_set(&sheet, i + 1, 5, "%s", bytes_text(point->planned_bytes, (char[BYTES_TEXT]){""}));
    put_number(&sheet, i + 1, 6, point->allocated_bytes / (point->planned_bytes / 100), "%.1f");
    put_number(&sheet, i + 1, 7, point->step_s / 1e-3, "%.2f");
  }
  return sheet;
}

const char coverage_note[] =
    "a training step of the bridge alone, batch 2, float; planned: arena, weights, gradients and "
    "the optimiser's states; allocated: in percent of the plan, where the step was run";

static void put_note(const Result *result, const char *mark, FILE *out) {
  (void)result;
  fprintf(out, "%s%s\n", mark, coverage_note);
}

static void print_json(const Result *result, FILE *out) {
  document_print(
      document_make("plans", result_document(result),
                    json_pack("{s:s, s:O}", "scale", result->scale, "rows", result->held[2].texts)),
      out);
}

void coverage_print(const Result *result, const char *format, FILE *out) {
  if (!strcmp(format, "json")) {
    print_json(result, out);
    return;
  }
  Sheet sheet = coverage_sheet(result);
  if (!strcmp(format, "csv")) {
    sheet_csv(&sheet, out);
  } else if (!strcmp(format, "tex")) {
    fputs("% needs \\usepackage{booktabs}\n% ", out);
    quote_line(result->title, out);
    fprintf(out, "; %s\n", coverage_note);
    code_notes(result, "% ", out);
    sheet_tex(&sheet, false, out);
  } else if (!strcmp(format, "md")) {
    fputs("**", out);
    quote_markdown(result->title, out);
    fputs("**\n\n", out);
    sheet_markdown(&sheet, false, out);
    fprintf(out, "\n- %s\n", coverage_note);
    code_notes(result, "- ", out);
  } else {
    quote_line(result->title, out);
    fputs("\n\n", out);
    sheet_fitted(&sheet, false, out);
    fputc('\n', out);
    table_wrapped(put_note, result, "  ", out);
    table_wrapped(code_notes, result, "  ", out);
  }
  sheet_free(&sheet);
}

/* ---- picture --------------------------------------------------------------------------------- */

static bool same_line(const ResultPoint *a, const ResultPoint *b) {
  return !strcmp(a->scale, b->scale) && !strcmp(a->bridge, b->bridge);
}

/* The point begins a line of the picture. */
static bool begins(const Result *result, int i) {
  return i == 0 || !same_line(&result->point[i - 1], &result->point[i]);
}

static void put_figure(FILE *out, double value) {
  if (isnan(value))
    fputs("\tNaN", out);
  else
    fprintf(out, "\t%.6g", value);
}

static void put_head(FILE *out, const ResultPoint *point) {
  fputs("# ", out);
  picture_field(out, point->scale);
  fputs(", ", out);
  picture_field(out, point->bridge);
  fputc('\n', out);
}

/* One gnuplot index a line. */
static bool write_points(const Result *result, const char *folder, const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".tsv", error);
  if (!out) return false;
  fputs("# covered scales\tplanned GB\tGFLOP\tstep s\tallocated GB\n", out);
  for (int i = 0; i < result->points; i++) {
    const ResultPoint *point = &result->point[i];
    if (i && begins(result, i)) fputs("\n\n", out);
    if (begins(result, i)) put_head(out, point);
    fprintf(out, "%d", point->covered);
    put_figure(out, point->planned_bytes / 1e9);
    put_figure(out, point->flops / 1e9);
    put_figure(out, point->step_s);
    put_figure(out, point->allocated_bytes / 1e9);
    fputc('\n', out);
  }
  return picture_finish(out, name, error);
}

typedef struct Panel {
  const char *title, *axis;
  size_t figure; /* offset in ResultPoint */
  int column;
  bool cards; /* lines at the memory of graphics cards */
} Panel;

static const Panel panels[] = {
    {"peak memory, planned", "GB", offsetof(ResultPoint, planned_bytes), 2, true},
    {"work of a step", "GFLOP", offsetof(ResultPoint, flops), 3, false},
    {"measured step, where it fits", "s", offsetof(ResultPoint, step_s), 4, false}};
enum { PANELS = sizeof panels / sizeof *panels };

/* On a long axis 80 and 141 GB nearly touch: one name stands below its line, one above. */
static void put_cards(FILE *out) {
  static const int cards[] = {24, 80, 141};
  for (int i = 0; i < 3; i++)
    fprintf(out,
            "set arrow %d from graph 0, first %d to graph 1, first %d nohead dt 2 lc rgb "
            "\"#888888\"\nset label %d \"%d GB\" at graph 0.02, first %d offset 0,%s font \",10\" "
            "tc rgb \"#555555\"\n",
            i + 1, cards[i], cards[i], i + 1, cards[i], cards[i], i == 2 ? "0.45" : "-0.45");
}

/* The lines of one size in one panel; keys only in the first. */
static void put_lines(FILE *out, const Result *result, const char *scale, const char *name,
                      const Panel *panel) {
  static const char *const looks[] = {"lc rgb \"#d55e00\" pt 5", "lc rgb \"#e69f00\" pt 9",
                                      "lc rgb \"#009e73\" pt 11", "lc rgb \"#0072b2\" pt 7"};
  int index = -1, line = 0;
  for (int i = 0; i < result->points; i++) {
    bool first = begins(result, i);
    index += first;
    if (!first || strcmp(result->point[i].scale, scale)) continue;
    fprintf(out, "%s\"%s.tsv\" index %d using 1:%d with linespoints lw 2 ps 1 %s title ",
            line ? ", \\\n  " : "plot ", name, index, panel->column, looks[line % 4]);
    picture_text(out, result->point[i].bridge);
    line++;
  }
  fputc('\n', out);
}

/* gnuplot refuses to draw a panel without a point. */
static bool any(const Result *result, const char *scale, const Panel *panel) {
  for (int i = 0; i < result->points; i++) {
    const ResultPoint *point = &result->point[i];
    double figure = *(const double *)((const char *)point + panel->figure);
    if (!strcmp(point->scale, scale) && !isnan(figure)) return true;
  }
  return false;
}

static void put_row(FILE *out, const Result *result, const char *scale, const char *name) {
  for (const Panel *panel = panels; panel < panels + PANELS; panel++) {
    if (!any(result, scale, panel)) {
      fputs("set multiplot next\n", out);
      continue;
    }
    fputs("set title ", out);
    picture_text(out, scale);
    fprintf(out, " . ': %s'\nset ylabel \"%s\" offset 1,0\n", panel->title, panel->axis);
    fputs(panel->cards ? "set key bottom right reverse Left samplen 1 font \",10\"\n"
                       : "unset key\n",
          out);
    if (panel->cards) put_cards(out);
    put_lines(out, result, scale, name, panel);
    fputs("unset arrow\nunset label\n", out);
  }
}

static int sizes(const Result *result, const char *list[8]) {
  int count = 0;
  for (int i = 0; i < result->points; i++) {
    bool seen = false;
    for (int k = 0; k < count; k++) seen = seen || !strcmp(list[k], result->point[i].scale);
    if (!seen && count < 8) list[count++] = result->point[i].scale;
  }
  return count;
}

static bool write_script(const Result *result, const char *folder, const char *name, Error *error) {
  const char *list[8];
  int count = sizes(result, list);
  FILE *out = picture_create(folder, name, ".gp", error);
  if (!out) return false;
  picture_terminal(out, 1320, 60 + 400 * count, 12, 12);
  fprintf(out,
          "set multiplot layout %d,3 title \"Bridges alone: a training step against covered "
          "scales (batch 2, float)\" font \",15\"\n"
          "set datafile separator \"\\t\"\nset logscale y\nset format y \"10^{%%L}\"\n"
          "set border 3\nset tics nomirror out\nset grid ytics lt 1 lw 1 lc rgb \"#dddddd\"\n"
          "set xlabel \"covered scales, lowest first\"\nset xrange [0.8:6.2]\nset xtics 1\n",
          count);
  for (int i = 0; i < count; i++) put_row(out, result, list[i], name);
  fputs("unset multiplot\n", out);
  return picture_finish(out, name, error);
}

bool coverage_draw(const PlotOf *of, char path[PLOT_PATH], Error *error) {
  const Result *result = of->result;
  const char *folder = of->folder, *name = result->experiment;
  if (!result->points) return fail(error, "%s: no plan is stored yet", name);
  return write_points(result, folder, name, error) && write_script(result, folder, name, error) &&
         picture_draw(folder, name, path, error);
}
