#include "src/report/plot.h"

#include <math.h>
#include <string.h>

#include "src/report/plot_parts.h"
#include "src/report/sheet.h"

enum { POINTS = 400 /* of a curve: more than the picture has pixels for is noise */ };

/* ---- an experiment --------------------------------------------------------------------------- */

static bool write_rows(const Result *result, const char *folder, const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".tsv", error);
  if (!out) return false;
  fputs("position\tlabel\tpaper\tmean\tsd\tn\n", out);
  for (int i = 0; i < result->rows; i++) {
    const ResultRow *row = &result->row[i];
    fprintf(out, "%d\t", i);
    picture_field(out, row->label);
    plot_value(out, row->paper);
    plot_value(out, row->mean);
    plot_value(out, row->sd);
    fprintf(out, "\t%d\n", row->n);
  }
  return picture_finish(out, name, error);
}

/* The axis shows all points with their bars and some room, not zero: the differences are small. */
static void range(const Result *result, double *low, double *high) {
  *low = 1e300;
  *high = -1e300;
  bool share = true; /* a Dice lies in 0 .. 1, and so does its axis */
  for (int i = 0; i < result->rows; i++) {
    const ResultRow *row = &result->row[i];
    double sd = isnan(row->sd) ? 0 : row->sd, middles[] = {row->mean, row->mean, row->paper},
           values[] = {row->mean - sd, row->mean + sd, row->paper};
    for (int k = 0; k < 3; k++) {
      if (isnan(middles[k])) continue;
      share = share && middles[k] >= 0 && middles[k] <= 1;
      if (values[k] < *low) *low = values[k];
      if (values[k] > *high) *high = values[k];
    }
  }
  if (*low > *high) *low = 0, *high = 1;
  double room = (*high - *low) * 0.12 + 0.005;
  *low -= room;
  *high += room;
  if (share && *low < 0) *low = 0;
  if (share && *high > 1) *high = 1;
}

/* Rows stand below each other, as in the table: their names may be long. */
static void put_tics(FILE *out, const Result *result) {
  fputs("set ytics (", out);
  for (int i = 0; i < result->rows; i++) {
    fputs(i ? ", " : "", out);
    picture_tic(out, result->row[i].label);
    fprintf(out, " %d", i);
  }
  fputs(")\nset ytics scale 0\n", out);
}

static bool any_paper(const Result *result) {
  bool any = false;
  for (int i = 0; i < result->rows; i++) any = any || !isnan(result->row[i].paper);
  return any;
}

static bool write_script(const Result *result, const char *folder, const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".gp", error);
  if (!out) return false;
  double low, high;
  int rows = result->rows;
  range(result, &low, &high);
  fprintf(out, "# gnuplot -e 'ending=\"svg\"; set output \"%s.svg\"' %s.gp\n", name, name);
  plot_frame(out, result, 900, 190 + 56 * rows);
  fputs("set xlabel ", out);
  plot_metric(out, result);
  fprintf(out,
          "\nset yrange [%.1f:-0.6]\nset xrange [%.4f:%.4f]\nunset grid\n"
          "set grid xtics lt 1 lw 1 lc rgb \"#cccccc\"\nset datafile separator \"\\t\"\n",
          rows - 0.4, low, high);
  put_tics(out, result);
  plot_tics(out, "x", (PlotSpan){low, high});
  fprintf(out,
          "plot \"%s.tsv\" every ::1 using 3:($1-0.1) with points pt 5 ps 1.4 lc rgb "
          "\"#888888\" %s, \\\n"
          "  \"\" every ::1 using 4:($1+0.1):(strcol(5) eq \"NaN\" ? 0 : $5) with xerrorbars pt 7 "
          "ps 1.4 lw 2 lc rgb "
          "\"#0072b2\" title \"measured (mean ± sd over seeds)\", \\\n"
          "  \"\" every ::1 using 4:($1+0.1) with points pt 7 ps 1.4 lc rgb \"#0072b2\" notitle\n",
          name, any_paper(result) ? "title \"paper\"" : "notitle");
  return picture_finish(out, name, error);
}

bool experiment_draw(const PlotOf *of, char path[PLOT_PATH], Error *error) {
  const Result *result = of->result;
  const char *folder = of->folder, *name = result->experiment;
  return write_rows(result, folder, name, error) && write_script(result, folder, name, error) &&
         picture_draw(folder, name, path, error);
}

/* ---- claims ---------------------------------------------------------------------------------- */

static bool has_difference(const ResultRow *row) {
  return !isnan(row->difference);
}

static int count_differences(const Result *result) {
  int count = 0;
  for (int i = 0; i < result->rows; i++) count += has_difference(&result->row[i]);
  return count;
}

static bool write_claims(const Result *result, const char *folder, const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".tsv", error);
  if (!out) return false;
  int line = 0;
  fputs("line\tlabel\tpaper\tdifference\tlow\thigh\tcorrected_low\tcorrected_high\tn\tverdict\n",
        out);
  for (int i = 0; i < result->rows; i++) {
    const ResultRow *row = &result->row[i];
    const double values[] = {row->claimed, row->difference,    row->low,
                             row->high,    row->corrected_low, row->corrected_high};
    if (!has_difference(row)) continue;
    fprintf(out, "%d\t", line++);
    picture_field(out, row->label);
    for (int k = 0; k < 6; k++) plot_value(out, values[k]);
    fprintf(out, "\t%d\t%s\n", row->n, row->verdict);
  }
  return picture_finish(out, name, error);
}

enum { CLAIM_NAME = 256 };

static void name_claim(const Result *result, const ResultRow *row, bool right,
                       char text[CLAIM_NAME]) {
  if (right && isnan(row->within))
    snprintf(text, CLAIM_NAME, "%s%sn %d", row->verdict, row->verdict[0] ? ", " : "", row->n);
  else if (right)
    snprintf(text, CLAIM_NAME, "within %.3f, n %d", row->within, row->n);
  else if (result_compares(result) == COMPARES_SEVERAL)
    snprintf(text, CLAIM_NAME, "%.120s against %.120s", row->label, row->against_label);
  else
    snprintf(text, CLAIM_NAME, "%s", row->label);
  sheet_trim(text);
}

/* Labels on the left; what became of the claim and of how many trials on the right. */
static void put_claim_tics(FILE *out, const Result *result, bool right) {
  int line = 0;
  fputs(right ? "set y2tics (" : "set ytics (", out);
  for (int i = 0; i < result->rows; i++) {
    const ResultRow *row = &result->row[i];
    char text[CLAIM_NAME];
    if (!has_difference(row)) continue;
    name_claim(result, row, right, text);
    fputs(line ? ", " : "", out);
    picture_tic(out, text);
    fprintf(out, " %d", line++);
  }
  fprintf(out, ") scale 0%s\n", right ? "" : " nomirror");
}

/* The band holds what these seeds would seldom see. */
static void put_band(FILE *out, double detectable) {
  if (!isnan(detectable))
    fprintf(out,
            "set object 1 rectangle from first %.6g, graph 0 to first %.6g, graph 1 behind "
            "fillcolor rgb \"#eeeeee\" fillstyle solid noborder\n",
            -detectable, detectable);
  fputs("set arrow from first 0, graph 0 to first 0, graph 1 nohead lc rgb \"#666666\"\n", out);
}

static PlotSpan claims_span(const Result *result) {
  PlotSpan span = {0, 0};
  for (int i = 0; i < result->rows; i++) {
    const ResultRow *row = &result->row[i];
    const double values[] = {row->claimed,        row->difference, row->corrected_low,
                             row->corrected_high, row->low,        row->high};
    for (int k = 0; has_difference(row) && k < 6; k++) plot_span(&span, values[k]);
  }
  return span;
}

/* A line a claim, as meta-analyses draw them. */
bool forest_draw(const PlotOf *of, char path[PLOT_PATH], Error *error) {
  const Result *result = of->result;
  const char *folder = of->folder;
  char name[256];
  int lines = count_differences(result);
  snprintf(name, sizeof name, "%.200s-forest", result->experiment);
  if (!lines)
    return fail(error, PLOT_NO_DATA "%s has no two rows with a figure to compare",
                result->experiment);
  if (!write_claims(result, folder, name, error)) return false;
  FILE *out = picture_create(folder, name, ".gp", error);
  if (!out) return false;
  plot_frame(out, result, 900, 220 + 44 * lines);
  fputs("set xlabel 'difference to ' . ", out);
  picture_text(out, result_compared(result));
  fputs(" . ', ' . ", out);
  plot_metric(out, result);
  fprintf(out,
          "\nset yrange [%.1f:-0.6]\nset y2range [%.1f:-0.6]\nunset grid\n"
          "set datafile separator \"\\t\"\nset datafile missing \"NaN\"\n"
          "set offsets graph 0.04, graph 0.04, 0, 0\nset errorbars 0\n",
          lines - 0.4, lines - 0.4);
  put_claim_tics(out, result, false);
  put_claim_tics(out, result, true);
  put_band(out, result->family.detectable);
  plot_tics(out, "x", claims_span(result));
  fprintf(
      out,
      "plot \"%s.tsv\" every ::1 using 7:1:($8-$7):(0) with vectors nohead lw 1.5 lc rgb "
      "\"#0072b2\" title \"95 %%, corrected for %d claims\", \\\n"
      "  \"\" every ::1 using 5:1:($6-$5):(0) with vectors nohead lw 5 lc rgb \"#7fb8d8\" title "
      "\"95 %% alone\", \\\n"
      "  \"\" every ::1 using 4:1 with points pt 7 ps 1.2 lc rgb \"#0072b2\" title \"measured\", "
      "\\\n"
      "  \"\" every ::1 using 3:1 with points pt 12 ps 1.6 lw 2 lc rgb \"#d55e00\" title "
      "\"paper\"",
      name, result->family.claims);
  if (!isnan(result->family.detectable))
    fprintf(
        out,
        ", \\\n  NaN with points pt 5 ps 2 lc rgb \"#dddddd\" title \"less than %.3f: these %ss "
        "seldom see it\"",
        result->family.detectable, result->family.folds ? "fold" : "seed");
  fputc('\n', out);
  return picture_finish(out, name, error) && picture_draw(folder, name, path, error);
}

/* ---- curves ---------------------------------------------------------------------------------- */

/* Means over a row's trials in equal windows of steps, so that long curves stay readable; of a
 * trial that only scored, those of the training. */
static const char curves_sql[] =
    "WITH newest AS (SELECT max(id) AS id FROM attempts WHERE removed = 0"
    "  AND status NOT IN ('running', 'interrupted') GROUP BY trial_id),"
    " last AS (SELECT a.trial_id, coalesce(a.weights_of, a.id) AS attempt_id FROM newest n"
    "  JOIN attempts a ON a.id = n.id),"
    " span AS (SELECT max(1, (max(k.step) + ?2) / ?2) AS width FROM rows r JOIN cells c ON"
    "  c.row_id = r.id JOIN last l ON l.trial_id = c.trial_id JOIN curves k"
    "  ON k.attempt_id = l.attempt_id WHERE r.plan_id = ?1)"
    " SELECT r.position, r.label, k.step / s.width * s.width AS step, avg(k.loss) AS loss,"
    "  avg(k.lr) AS lr, avg(k.grad_norm) AS grad_norm, avg(k.val_dice) AS val_dice"
    " FROM span s JOIN rows r ON r.plan_id = ?1 JOIN cells c ON c.row_id = r.id"
    " JOIN last l ON l.trial_id = c.trial_id JOIN curves k ON k.attempt_id = l.attempt_id"
    " GROUP BY r.position, k.step / s.width ORDER BY r.position, step";

typedef struct Point {
  int position, step;
  const char *label;
  double loss, lr, grad_norm, val_dice;
} Point;

static const Column point_columns[] = {
    COLUMN(Point, position), COLUMN(Point, step),      COLUMN(Point, label),    COLUMN(Point, loss),
    COLUMN(Point, lr),       COLUMN(Point, grad_norm), COLUMN(Point, val_dice), {0}};

static bool new_curve(const Point *point, int i) {
  return i == 0 || point[i].position != point[i - 1].position;
}

static bool write_curves(const Rows *points, const char *folder, const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".tsv", error);
  if (!out) return false;
  fputs("# position\tstep\tloss\tlr\tgrad_norm\tval_dice\n", out);
  const Point *point = points->row;
  for (int i = 0; i < points->count; i++) {
    if (i && new_curve(point, i)) fputs("\n\n", out); /* gnuplot's index */
    fprintf(out, "%d\t%d", point[i].position, point[i].step);
    plot_value(out, point[i].loss);
    plot_value(out, point[i].lr);
    plot_value(out, point[i].grad_norm);
    plot_value(out, point[i].val_dice);
    fputc('\n', out);
  }
  return picture_finish(out, name, error);
}

static void put_curves(FILE *out, const Rows *points, const char *name, int column) {
  const Point *point = points->row;
  int index = 0;
  fputs("plot ", out);
  for (int i = 0; i < points->count; i++) {
    if (!new_curve(point, i)) continue;
    if (index) fputs(", \\\n  ", out);
    fprintf(out, "\"%s.tsv\" index %d using 2:%d with lines lw 2 dt %s lc rgb \"%s\" title ", name,
            index, column, index % 2 ? "(14,4)" : "1", picture_colours[index % PICTURE_COLOURS]);
    picture_text(out, point[i].label);
    index++;
  }
  fputc('\n', out);
}

static bool has_dice(const Rows *points) {
  const Point *point = points->row;
  for (int i = 0; i < points->count; i++)
    if (!isnan(point[i].val_dice)) return true;
  return false;
}

/* The loss falls over decades; below it, at the same steps, the Dice of the validation patches
 * where they were measured (databases of older forms have none). */
static bool write_curves_script(const Result *result, const Rows *points, const char *folder,
                                const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".gp", error);
  if (!out) return false;
  bool dice = has_dice(points);
  int rows = result->rows;
  plot_frame(out, result, 900, (dice ? 840 : 540) + 20 * rows);
  fputs("set datafile separator \"\\t\"\nset datafile missing \"NaN\"\n"
        "set xrange [0:]\nset xlabel \"step\"\nset ylabel \"training loss\"\nset logscale y\n",
        out);
  if (dice) fputs("set multiplot layout 2,1\nunset key\nunset xlabel\n", out);
  put_curves(out, points, name, 3);
  if (dice) {
    fputs("unset logscale\nunset title\nset yrange [0:1]\nset xlabel \"step\"\n"
          "set ylabel \"Dice of validation patches\"\nset key\n",
          out);
    put_curves(out, points, name, 6);
    fputs("unset multiplot\n", out);
  }
  return picture_finish(out, name, error);
}

bool curves_draw(const PlotOf *of, char path[PLOT_PATH], Error *error) {
  const Result *result = of->result;
  char name[256];
  snprintf(name, sizeof name, "%.200s-curves", result->experiment);
  Rows points;
  if (!store_rows(of->store, curves_sql, json_pack("[I,i]", (json_int_t)result->plan_id, POINTS),
                  point_columns, sizeof(Point), &points, error))
    return false;
  bool good =
      points.count || fail(error, PLOT_NO_DATA "no loss curve of %s is stored", result->experiment);
  good = good && write_curves(&points, of->folder, name, error) &&
         write_curves_script(result, &points, of->folder, name, error) &&
         picture_draw(of->folder, name, path, error);
  rows_free(&points);
  return good;
}

/* ---- kinds ----------------------------------------------------------------------------------- */

const PlotKind plot_kinds[PLOT_KINDS] = {
#define FIGURE(id, word, experiment, caption)
#define PLOT(id, word, of, caption) {word, caption, PLOT_##of, id##_draw},
#include "src/report/plots.def"
#undef PLOT
#undef FIGURE
};

bool plot_fits(const PlotKind *kind, const Result *result) {
  if (result->self_test) return kind->of == PLOT_SELF_TEST;
  if (kind->of == PLOT_CLAIMS) return !result->plans && count_differences(result) > 0;
  return kind->of == (result->plans ? PLOT_PLANS : PLOT_RESULT);
}

const PlotKind *plot_find(const char *word, const Result *result) {
  const PlotKind *found = NULL;
  for (int k = PLOT_KINDS - 1; k >= 0; k--) {
    bool better = !found || !result || !plot_fits(found, result);
    if (!strcmp(plot_kinds[k].word, word) && better) found = &plot_kinds[k];
  }
  return found;
}
