#include "src/report/plot.h"

#include <string.h>

#include "src/report/coverage.h"

enum { POINTS = 400 /* of a curve: more than the picture has pixels for is noise */ };

static const char *text(const json_t *object, const char *key) {
  const char *value = json_string_value(json_object_get(object, key));
  return value ? value : "";
}

static double number(const json_t *object, const char *key) {
  return json_number_value(json_object_get(object, key));
}

static bool known(const json_t *object, const char *key) {
  return json_is_number(json_object_get(object, key));
}

static const char *metric_word(const json_t *result) {
  return strcmp(text(result, "metric"), "dice") ? text(result, "metric") : "Dice (DSC)";
}

static void put_title(FILE *out, const json_t *result) {
  fputs("set title \"", out);
  if (known(result, "table")) fprintf(out, "Table %d: ", (int)number(result, "table"));
  picture_label(out, text(result, "title"));
  fputs("\\n{/*0.8 scale ", out);
  picture_label(out, text(result, "scale"));
  fputs(", ", out);
  picture_label(out, text(result, "dataset"));
  fputs(", ", out);
  picture_label(out, text(result, "device"));
  fprintf(out, ", %d seed%s}\"\n", (int)number(result, "seeds"),
          number(result, "seeds") > 1 ? "s" : "");
}

static void put_frame(FILE *out, const json_t *result) {
  picture_frame(out);
  put_title(out, result);
}

/* --- an experiment --- */

static void put_value(FILE *out, const json_t *row, const char *key) {
  if (known(row, key))
    fprintf(out, "\t%.6g", number(row, key));
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
    picture_label(out, text(row, "label"));
    put_value(out, row, "paper");
    put_value(out, row, "mean");
    put_value(out, row, "sd");
    fprintf(out, "\t%d\n", (int)number(row, "n"));
  }
  return picture_finish(out, name, error);
}

/* The axis shows all points with their bars and some room, not zero: the differences are small. */
static void range(const json_t *result, double *low, double *high) {
  *low = 1e300;
  *high = -1e300;
  const json_t *row;
  size_t i;
  json_array_foreach(json_object_get(result, "rows"), i, row) {
    double sd = number(row, "sd"),
           values[] = {number(row, "mean") - sd, number(row, "mean") + sd, number(row, "paper")};
    for (int k = 0; k < 3; k++) {
      if (!known(row, k < 2 ? "mean" : "paper")) continue;
      if (values[k] < *low) *low = values[k];
      if (values[k] > *high) *high = values[k];
    }
  }
  if (*low > *high) *low = 0, *high = 1;
  double room = (*high - *low) * 0.12 + 0.005;
  bool share = *low >= 0 && *high <= 1; /* a Dice lies in 0 .. 1, and so does its axis */
  *low -= room;
  *high += room;
  if (share && *low < 0) *low = 0;
  if (share && *high > 1) *high = 1;
}

/* The rows' names stand between the two points of a row, so they are set by hand. */
static void put_tics(FILE *out, const json_t *result) {
  const json_t *row;
  size_t i;
  fputs("set xtics (", out);
  json_array_foreach(json_object_get(result, "rows"), i, row) {
    fputs(i ? ", \"" : "\"", out);
    picture_label(out, text(row, "label"));
    fprintf(out, "\" %zu", i);
  }
  fputs(")\n", out);
}

static bool write_script(const json_t *result, const char *folder, const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".gp", error);
  if (!out) return false;
  double low, high;
  size_t rows = json_array_size(json_object_get(result, "rows"));
  range(result, &low, &high);
  fprintf(out, "# gnuplot -e 'ending=\"svg\"; set output \"%s.svg\"' %s.gp\n", name, name);
  put_frame(out, result);
  fputs("set ylabel \"", out);
  picture_label(out, metric_word(result));
  fputs("\"\nset xlabel \"", out);
  picture_label(out, text(result, "axis"));
  fprintf(out,
          "\"\nset xrange [-0.6:%.1f]\nset yrange [%.4f:%.4f]\nset xtics scale 0\n"
          "set datafile separator \"\\t\"\n",
          (double)rows - 0.4, low, high);
  put_tics(out, result);
  fprintf(out,
          "plot \"%s.tsv\" every ::1 using ($1-0.06):3 with points pt 5 ps 1.4 lc rgb "
          "\"#888888\" title \"paper\", \\\n"
          "  \"\" every ::1 using ($1+0.06):4:(strcol(5) eq \"NaN\" ? 0 : $5) with yerrorbars pt 7 "
          "ps 1.4 lw 2 lc rgb "
          "\"#0060ad\" title \"measured (mean ± sd over seeds)\", \\\n"
          "  \"\" every ::1 using ($1+0.06):4 with points pt 7 ps 1.4 lc rgb \"#0060ad\" notitle\n",
          name);
  return picture_finish(out, name, error);
}

bool plot_experiment(const json_t *result, const char *folder, char path[PLOT_PATH], Error *error) {
  if (json_object_get(result, "points")) return coverage_plot(result, folder, path, error);
  const char *name = text(result, "experiment");
  return write_rows(result, folder, name, error) && write_script(result, folder, name, error) &&
         picture_draw(folder, name, path, error);
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
    "  avg(k.lr) AS lr, avg(k.grad_norm) AS grad_norm"
    " FROM span s JOIN rows r ON r.plan_id = ?1 JOIN cells c ON c.row_id = r.id"
    " JOIN last l ON l.trial_id = c.trial_id JOIN curves k ON k.attempt_id = l.attempt_id"
    " GROUP BY r.position, k.step / s.width ORDER BY r.position, step";

static bool write_curves(const json_t *points, const char *folder, const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".tsv", error);
  if (!out) return false;
  fputs("# position\tstep\tloss\tlr\tgrad_norm\n", out);
  const json_t *point;
  size_t i;
  double position = -1;
  json_array_foreach(points, i, point) {
    if (number(point, "position") != position && i > 0) fputs("\n\n", out); /* gnuplot's index */
    position = number(point, "position");
    fprintf(out, "%d\t%d", (int)position, (int)number(point, "step"));
    put_value(out, point, "loss");
    put_value(out, point, "lr");
    put_value(out, point, "grad_norm");
    fputc('\n', out);
  }
  return picture_finish(out, name, error);
}

static bool write_curves_script(const json_t *result, const json_t *points, const char *folder,
                                const char *name, Error *error) {
  static const char *const colours[] = {"#0060ad", "#dd7711", "#339933", "#bb2244",
                                        "#775599", "#886644", "#11aabb", "#555555"};
  FILE *out = picture_create(folder, name, ".gp", error);
  if (!out) return false;
  put_frame(out, result);
  fputs("set ylabel \"training loss\"\nset xlabel \"step\"\nset datafile separator \"\\t\"\nplot ",
        out);
  const json_t *point;
  size_t i;
  double position = -1;
  int index = 0;
  json_array_foreach(points, i, point) {
    if (number(point, "position") == position) continue;
    position = number(point, "position");
    if (index) fputs(", \\\n  ", out);
    fprintf(out, "\"%s.tsv\" index %d using 2:3 with lines lw 2 lc rgb \"%s\" title \"", name,
            index, colours[index % 8]);
    picture_label(out, text(point, "label"));
    fputc('"', out);
    index++;
  }
  fputc('\n', out);
  return picture_finish(out, name, error);
}

bool plot_curves(Store *store, const json_t *result, const char *folder, char path[PLOT_PATH],
                 Error *error) {
  char name[256];
  snprintf(name, sizeof name, "%.200s-curves", text(result, "experiment"));
  json_t *points,
      *parameters =
          json_pack("[I,i]", json_integer_value(json_object_get(result, "plan_id")), POINTS);
  bool good = store_query(store, curves_sql, parameters, &points, error);
  json_decref(parameters);
  if (!good) return false;
  if (json_array_size(points) == 0)
    good = fail(error, "no loss curve is stored for %s yet", text(result, "experiment"));
  good = good && write_curves(points, folder, name, error) &&
         write_curves_script(result, points, folder, name, error) &&
         picture_draw(folder, name, path, error);
  json_decref(points);
  return good;
}
