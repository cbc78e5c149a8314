#include "src/report/plot.h"

#include <string.h>

#include "src/data/metrics/metric.h"
#include "src/store/field.h"

enum { POINTS = 400 /* of a curve: more than the picture has pixels for is noise */ };

/* "Dice (DSC)", or the name alone. */
void plot_metric(FILE *out, const json_t *result) {
  const MetricRow *metric = metric_stored(field_text(result, "metric"));
  char word[64];
  if (metric && metric->paper) snprintf(word, sizeof word, "%s (%s)", metric->head, metric->paper);
  picture_text(out, metric && metric->paper ? word : field_text(result, "metric"));
}

static void put_title(FILE *out, const json_t *result) {
  fputs("set title ", out);
  if (field_known(result, "table"))
    fprintf(out, "'Table %d: ' . ", (int)field_number(result, "table"));
  picture_text(out, field_text(result, "title"));
  fputs(" . \"\\n{/*0.8 scale \" . ", out);
  picture_text(out, field_text(result, "scale"));
  fputs(" . ', ' . ", out);
  picture_text(out, field_text(result, "dataset"));
  fputs(" . ', ' . ", out);
  picture_text(out, field_text(result, "device"));
  fprintf(out, " . ', %d seed%s}'\n", (int)field_number(result, "seeds"),
          field_number(result, "seeds") > 1 ? "s" : "");
}

void plot_frame(FILE *out, const json_t *result, int width, int height) {
  picture_frame_sized(out, width, height);
  fputs("set key outside below left Left reverse vertical maxcols 2 samplen 2 height 1\nset xlabel "
        "offset 0,0.4\n",
        out);
  put_title(out, result);
}

/* --- an experiment --- */

void plot_value(FILE *out, const json_t *row, const char *key) {
  if (field_known(row, key))
    fprintf(out, "\t%.6g", field_number(row, key));
  else
    fputs("\tNaN", out);
}

static bool write_rows(const json_t *result, const char *folder, const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".tsv", error);
  if (!out) return false;
  fputs("position\tlabel\tpaper\tmean\tsd\tn\n", out);
  const json_t *row;
  size_t i;
  json_array_foreach(json_object_get(result, "rows"), i, row) {
    fprintf(out, "%zu\t", i);
    picture_field(out, field_text(row, "label"));
    plot_value(out, row, "paper");
    plot_value(out, row, "mean");
    plot_value(out, row, "sd");
    fprintf(out, "\t%d\n", (int)field_number(row, "n"));
  }
  return picture_finish(out, name, error);
}

/* The axis shows all points with their bars and some room, not zero: the differences are small. */
static void range(const json_t *result, double *low, double *high) {
  *low = 1e300;
  *high = -1e300;
  bool share = true; /* a Dice lies in 0 .. 1, and so does its axis */
  const json_t *row;
  size_t i;
  json_array_foreach(json_object_get(result, "rows"), i, row) {
    double sd = field_number(row, "sd"),
           values[] = {field_number(row, "mean") - sd, field_number(row, "mean") + sd,
                       field_number(row, "paper")};
    for (int k = 0; k < 3; k++) {
      if (!field_known(row, k < 2 ? "mean" : "paper")) continue;
      double middle = field_number(row, k < 2 ? "mean" : "paper");
      share = share && middle >= 0 && middle <= 1;
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
static void put_tics(FILE *out, const json_t *result) {
  const json_t *row;
  size_t i;
  fputs("set ytics (", out);
  json_array_foreach(json_object_get(result, "rows"), i, row) {
    fputs(i ? ", " : "", out);
    picture_tic(out, field_text(row, "label"));
    fprintf(out, " %zu", i);
  }
  fputs(")\nset ytics scale 0\n", out);
}

static bool write_script(const json_t *result, const char *folder, const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".gp", error);
  if (!out) return false;
  double low, high;
  int rows = (int)json_array_size(json_object_get(result, "rows"));
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
  fprintf(out,
          "plot \"%s.tsv\" every ::1 using 3:($1-0.1) with points pt 5 ps 1.4 lc rgb "
          "\"#888888\" title \"paper\", \\\n"
          "  \"\" every ::1 using 4:($1+0.1):(strcol(5) eq \"NaN\" ? 0 : $5) with xerrorbars pt 7 "
          "ps 1.4 lw 2 lc rgb "
          "\"#0072b2\" title \"measured (mean ± sd over seeds)\", \\\n"
          "  \"\" every ::1 using 4:($1+0.1) with points pt 7 ps 1.4 lc rgb \"#0072b2\" notitle\n",
          name);
  return picture_finish(out, name, error);
}

bool experiment_draw(const PlotOf *of, char path[PLOT_PATH], Error *error) {
  const json_t *result = of->result;
  const char *folder = of->folder, *name = field_text(result, "experiment");
  return write_rows(result, folder, name, error) && write_script(result, folder, name, error) &&
         picture_draw(folder, name, path, error);
}

/* --- per structure --- */

static void write_organ(FILE *out, const json_t *item, int line) {
  fprintf(out, "%d\t", line);
  picture_field(out, field_text(item, "name"));
  plot_value(out, item, "mean");
  plot_value(out, item, "low");
  plot_value(out, item, "high");
  fputc('\n', out);
}

/* One block a row of the table, one line a structure; returns the number of structures, 0: none. */
static int write_organs(const json_t *result, const char *folder, const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".tsv", error);
  if (!out) return 0;
  const json_t *labels = json_object_get(result, "labels"), *item, *row;
  size_t r, i;
  int lines = 0;
  fputs("# structure\tname\tmean\tlow\thigh\n", out);
  json_array_foreach(json_object_get(result, "rows"), r, row) {
    int line = -1, last = -1;
    json_array_foreach(labels, i, item) {
      line += (int)field_number(item, "label") != last;
      last = (int)field_number(item, "label");
      if (field_number(item, "position") == field_number(row, "position"))
        write_organ(out, item, line);
    }
    fputs("\n\n", out); /* gnuplot's index */
    lines = line + 1;
  }
  return picture_finish(out, name, error) ? lines : 0;
}

static void put_organ_tics(FILE *out, const json_t *result) {
  const json_t *item;
  size_t i;
  int line = -1, last = -1;
  fputs("set ytics (", out);
  json_array_foreach(json_object_get(result, "labels"), i, item) {
    if ((int)field_number(item, "label") == last) continue;
    last = (int)field_number(item, "label");
    fputs(++line ? ", " : "", out);
    picture_tic(out, field_text(item, "name"));
    fprintf(out, " %d", line);
  }
  fputs(")\nset ytics scale 0\n", out);
}

/* A row without a figure has no points, but keeps its place in the key: it is missing, not
 * forgotten. */
static void put_organ_rows(FILE *out, const json_t *result, const char *name, int rows) {
  static const int shapes[] = {7, 5, 9, 13, 11, 6, 4};
  for (int r = 0; r < rows; r++) {
    const json_t *row = json_array_get(json_object_get(result, "rows"), (size_t)r);
    double shift = (r - (rows - 1) / 2.0) * 0.8 / rows;
    bool measured = field_known(row, "mean");
    if (r) fputs(", \\\n  ", out);
    if (measured)
      fprintf(out, "\"%s.tsv\" index %d using 3:($1%+.3f):4:5 with xerrorbars", name, r, shift);
    else
      fprintf(out, "NaN with points");
    fprintf(out, " pt %d ps 0.9 lw 1.5 lc rgb \"%s\" title ", shapes[r % PICTURE_COLOURS],
            picture_colours[r % PICTURE_COLOURS]);
    picture_text(out, field_text(row, "label"));
    fputs(measured ? "" : " . ' (no figure)'", out);
  }
  fputc('\n', out);
}

bool organs_draw(const PlotOf *of, char path[PLOT_PATH], Error *error) {
  const json_t *result = of->result;
  const char *folder = of->folder;
  char name[256];
  snprintf(name, sizeof name, "%.200s-per-organ", field_text(result, "experiment"));
  if (json_array_size(json_object_get(result, "labels")) == 0)
    return fail(error, "no figure per structure is stored for %s yet",
                field_text(result, "experiment"));
  int lines = write_organs(result, folder, name, error);
  int rows = (int)json_array_size(json_object_get(result, "rows"));
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
  fputs("plot ", out);
  put_organ_rows(out, result, name, rows);
  return picture_finish(out, name, error) && picture_draw(folder, name, path, error);
}

/* --- curves --- */

/* Means over a row's trials in equal windows of steps, so that long curves stay readable. */
static const char curves_sql[] =
    "WITH last AS (SELECT trial_id, max(id) AS attempt_id FROM attempts WHERE removed = 0"
    "  AND status NOT IN ('running', 'interrupted') GROUP BY trial_id),"
    " span AS (SELECT max(1, (max(k.step) + ?2) / ?2) AS width FROM rows r JOIN cells c ON"
    "  c.row_id = r.id JOIN last l ON l.trial_id = c.trial_id JOIN curves k"
    "  ON k.attempt_id = l.attempt_id WHERE r.plan_id = ?1)"
    " SELECT r.position, r.label, k.step / s.width * s.width AS step, avg(k.loss) AS loss,"
    "  avg(k.lr) AS lr, avg(k.grad_norm) AS grad_norm, avg(k.val_dice) AS val_dice"
    " FROM span s JOIN rows r ON r.plan_id = ?1 JOIN cells c ON c.row_id = r.id"
    " JOIN last l ON l.trial_id = c.trial_id JOIN curves k ON k.attempt_id = l.attempt_id"
    " GROUP BY r.position, k.step / s.width ORDER BY r.position, step";

static bool write_curves(const json_t *points, const char *folder, const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".tsv", error);
  if (!out) return false;
  fputs("# position\tstep\tloss\tlr\tgrad_norm\tval_dice\n", out);
  const json_t *point;
  size_t i;
  double position = -1;
  json_array_foreach(points, i, point) {
    if (field_number(point, "position") != position && i > 0)
      fputs("\n\n", out); /* gnuplot's index */
    position = field_number(point, "position");
    fprintf(out, "%d\t%d", (int)position, (int)field_number(point, "step"));
    plot_value(out, point, "loss");
    plot_value(out, point, "lr");
    plot_value(out, point, "grad_norm");
    plot_value(out, point, "val_dice");
    fputc('\n', out);
  }
  return picture_finish(out, name, error);
}

static void put_curves(FILE *out, const json_t *points, const char *name, int column) {
  const json_t *point;
  size_t i;
  double position = -1;
  int index = 0;
  fputs("plot ", out);
  json_array_foreach(points, i, point) {
    if (field_number(point, "position") == position) continue;
    position = field_number(point, "position");
    if (index) fputs(", \\\n  ", out);
    fprintf(out, "\"%s.tsv\" index %d using 2:%d with lines lw 2 dt %s lc rgb \"%s\" title ", name,
            index, column, index % 2 ? "(14,4)" : "1", picture_colours[index % PICTURE_COLOURS]);
    picture_text(out, field_text(point, "label"));
    index++;
  }
  fputc('\n', out);
}

static bool has_dice(const json_t *points) {
  const json_t *point;
  size_t i;
  json_array_foreach(points, i, point) {
    if (field_known(point, "val_dice")) return true;
  }
  return false;
}

/* The loss falls over decades; below it, at the same steps, the Dice of the validation patches
 * where they were measured (databases of older forms have none). */
static bool write_curves_script(const json_t *result, const json_t *points, const char *folder,
                                const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".gp", error);
  if (!out) return false;
  bool dice = has_dice(points);
  int rows = (int)json_array_size(json_object_get(result, "rows"));
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
  const json_t *result = of->result;
  const char *folder = of->folder;
  char name[256];
  snprintf(name, sizeof name, "%.200s-curves", field_text(result, "experiment"));
  json_t *points,
      *parameters =
          json_pack("[I,i]", json_integer_value(json_object_get(result, "plan_id")), POINTS);
  bool good = store_query(of->store, curves_sql, parameters, &points, error);
  json_decref(parameters);
  if (!good) return false;
  if (json_array_size(points) == 0)
    good = fail(error, "no loss curve is stored for %s yet", field_text(result, "experiment"));
  good = good && write_curves(points, folder, name, error) &&
         write_curves_script(result, points, folder, name, error) &&
         picture_draw(folder, name, path, error);
  json_decref(points);
  return good;
}

/* --- kinds --- */

const PlotKind plot_kinds[PLOT_KINDS] = {
#define FIGURE(id, word, experiment, caption)
#define PLOT(id, word, of, caption) {word, caption, PLOT_##of, id##_draw},
#include "src/report/plots.def"
#undef PLOT
#undef FIGURE
};

bool plot_fits(const PlotKind *kind, const json_t *result) {
  return kind->of == (json_object_get(result, "points") ? PLOT_PLANS : PLOT_RESULT);
}

const PlotKind *plot_find(const char *word, const json_t *result) {
  const PlotKind *found = NULL;
  for (int k = PLOT_KINDS - 1; k >= 0; k--) {
    bool better = !found || !result || !plot_fits(found, result);
    if (!strcmp(plot_kinds[k].word, word) && better) found = &plot_kinds[k];
  }
  return found;
}
