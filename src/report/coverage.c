#include "src/report/coverage.h"
#include "src/data/sets/json_text.h"
#include "src/report/plot.h"
#include "src/report/quote.h"
#include "src/store/field.h"

#include <string.h>

static const char points_sql[] =
    "WITH cell AS (SELECT r.position, r.key, r.label, t.config, v.attempt_id FROM rows r"
    "  JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id"
    "  JOIN v_attempt v ON v.trial_id = t.id WHERE r.plan_id = ?1),"
    " figure AS (SELECT attempt_id, metric, value FROM metrics WHERE split = 'plan')"
    " SELECT position, key, label, config ->> '$.scale' AS scale,"
    "  CASE config ->> '$.bridge' WHEN 'standard' THEN 'standard, ' || (config ->> '$.attention')"
    "   WHEN 'fsad' THEN 'FSAD' ELSE config ->> '$.bridge' END AS bridge,"
    "  CASE config ->> '$.bridge' WHEN 'standard' THEN config ->> '$.standard_scales'"
    "   WHEN 'deformable' THEN config ->> '$.query_scales'"
    "   ELSE coalesce(nullif(config ->> '$.value_scales', 0), json_array_length(config, "
    "'$.widths'))"
    " END AS covered,"
    "  a.peak_bytes AS planned_bytes, a.flops, a.parameters,"
    "  (SELECT value FROM figure f WHERE f.attempt_id = a.id AND metric = 'step_s') AS step_s,"
    "  (SELECT value FROM figure f WHERE f.attempt_id = a.id AND metric = 'allocated_bytes')"
    "   AS allocated_bytes,"
    "  (SELECT value FROM figure f WHERE f.attempt_id = a.id AND metric = 'resident_bytes')"
    "   AS resident_bytes"
    " FROM cell JOIN attempts a ON a.id = cell.attempt_id ORDER BY position";

bool coverage_load(Store *store, json_t *result, Error *error) {
  json_t *points, *parameters = json_array();
  json_array_append(parameters, json_object_get(result, "plan_id"));
  bool good = store_query(store, points_sql, parameters, &points, error);
  json_decref(parameters);
  if (good) json_object_set_new(result, "points", points);
  return good;
}

/* ---- table --------------------------------------------------------------------------------------
 */

static void put_quotient(Sheet *sheet, int row, int column, const json_t *point, const char *key,
                         double divisor, const char *format) {
  char cell[64];
  snprintf(cell, sizeof cell, format, field_number(point, key) / divisor);
  sheet_set(sheet, row, column, "%s", field_known(point, key) ? cell : "-");
}

Sheet coverage_sheet(const json_t *result) {
  const json_t *points = json_object_get(result, "points");
  static const char *const heads[] = {"size",  "bridge",      "scales",      "parameters",
                                      "GFLOP", "planned MiB", "allocated %", "step ms"};
  int count = (int)json_array_size(points), columns = sizeof heads / sizeof *heads;
  Sheet sheet = sheet_make(count + 1, columns);
  for (int i = 0; i < columns; i++) sheet_set(&sheet, 0, i, "%s", heads[i]);
  for (int i = 0; i < count; i++) {
    const json_t *point = json_array_get(points, (size_t)i);
    sheet_set(&sheet, i + 1, 0, "%s", field_text(point, "scale"));
    sheet_set(&sheet, i + 1, 1, "%s", field_text(point, "bridge"));
    put_quotient(&sheet, i + 1, 2, point, "covered", 1, "%.0f");
    put_quotient(&sheet, i + 1, 3, point, "parameters", 1, "%.0f");
    put_quotient(&sheet, i + 1, 4, point, "flops", 1e9, "%.2f");
    put_quotient(&sheet, i + 1, 5, point, "planned_bytes", 0x1p20, "%.1f");
    put_quotient(&sheet, i + 1, 6, point, "allocated_bytes",
                 field_number(point, "planned_bytes") / 100, "%.1f");
    put_quotient(&sheet, i + 1, 7, point, "step_s", 1e-3, "%.2f");
  }
  return sheet;
}

const char coverage_note[] =
    "a training step of the bridge alone, batch 2, float; planned: arena, weights, gradients and "
    "momenta; allocated: in percent of the plan, where the step was run";

static void print_json(const json_t *result, FILE *out) {
  json_t *document = json_pack(
      "{s:i, s:O, s:O, s:O}", "schema", 1, "experiment", json_object_get(result, "experiment"),
      "scale", json_object_get(result, "scale"), "rows", json_object_get(result, "points"));
  json_document(document, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
  json_decref(document);
}

void coverage_print(const json_t *result, const char *format, FILE *out) {
  if (!strcmp(format, "json")) {
    print_json(result, out);
    return;
  }
  Sheet sheet = coverage_sheet(result);
  if (!strcmp(format, "csv")) {
    sheet_csv(&sheet, out);
  } else if (!strcmp(format, "tex")) {
    fputs("% needs \\usepackage{booktabs}\n% ", out);
    quote_line(field_text(result, "title"), out);
    fprintf(out, "; %s\n", coverage_note);
    sheet_tex(&sheet, false, out);
  } else if (!strcmp(format, "md")) {
    fputs("**", out);
    quote_markdown(field_text(result, "title"), out);
    fputs("**\n\n", out);
    sheet_markdown(&sheet, false, out);
    fprintf(out, "\n- %s\n", coverage_note);
  } else {
    quote_line(field_text(result, "title"), out);
    fputs("\n\n", out);
    sheet_text(&sheet, false, out);
    fprintf(out, "\n  %s\n", coverage_note);
  }
  sheet_free(&sheet);
}

/* ---- picture ------------------------------------------------------------------------------------
 */

static bool same_line(const json_t *a, const json_t *b) {
  return !strcmp(field_text(a, "scale"), field_text(b, "scale")) &&
         !strcmp(field_text(a, "bridge"), field_text(b, "bridge"));
}

static void put_figure(FILE *out, const json_t *point, const char *key, double divisor) {
  if (field_known(point, key))
    fprintf(out, "\t%.6g", field_number(point, key) / divisor);
  else
    fputs("\tNaN", out);
}

static void put_head(FILE *out, const json_t *point) {
  fputs("# ", out);
  picture_field(out, field_text(point, "scale"));
  fputs(", ", out);
  picture_field(out, field_text(point, "bridge"));
  fputc('\n', out);
}

/* One gnuplot index a line. */
static bool write_points(const json_t *points, const char *folder, const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".tsv", error);
  if (!out) return false;
  const json_t *point, *before = NULL;
  size_t i;
  fputs("# covered scales\tplanned GB\tGFLOP\tstep s\tallocated GB\n", out);
  json_array_foreach(points, i, point) {
    if (before && !same_line(before, point)) fputs("\n\n", out);
    if (!before || !same_line(before, point)) put_head(out, point);
    fprintf(out, "%d", (int)field_number(point, "covered"));
    put_figure(out, point, "planned_bytes", 1e9);
    put_figure(out, point, "flops", 1e9);
    put_figure(out, point, "step_s", 1);
    put_figure(out, point, "allocated_bytes", 1e9);
    fputc('\n', out);
    before = point;
  }
  return picture_finish(out, name, error);
}

typedef struct Panel {
  const char *title, *axis, *key;
  int column;
  bool cards; /* lines at the memory of graphics cards */
} Panel;

static const Panel panels[] = {{"peak memory, planned", "GB", "planned_bytes", 2, true},
                               {"work of a step", "GFLOP", "flops", 3, false},
                               {"measured step, where it fits", "s", "step_s", 4, false}};
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
static void put_lines(FILE *out, const json_t *points, const char *scale, const char *name,
                      const Panel *panel) {
  static const char *const looks[] = {"lc rgb \"#d55e00\" pt 5", "lc rgb \"#e69f00\" pt 9",
                                      "lc rgb \"#009e73\" pt 11", "lc rgb \"#0072b2\" pt 7"};
  const json_t *point, *before = NULL;
  size_t i;
  int index = -1, line = 0;
  json_array_foreach(points, i, point) {
    bool first = !before || !same_line(before, point);
    before = point;
    index += first;
    if (!first || strcmp(field_text(point, "scale"), scale)) continue;
    fprintf(out, "%s\"%s.tsv\" index %d using 1:%d with linespoints lw 2 ps 1 %s title ",
            line ? ", \\\n  " : "plot ", name, index, panel->column, looks[line % 4]);
    picture_text(out, field_text(point, "bridge"));
    line++;
  }
  fputc('\n', out);
}

/* gnuplot refuses to draw a panel without a point. */
static bool any(const json_t *points, const char *scale, const char *key) {
  const json_t *point;
  size_t i;
  json_array_foreach(points, i, point) if (!strcmp(field_text(point, "scale"), scale) &&
                                           field_known(point, key)) return true;
  return false;
}

static void put_row(FILE *out, const json_t *points, const char *scale, const char *name) {
  for (int i = 0; i < PANELS; i++) {
    if (!any(points, scale, panels[i].key)) {
      fputs("set multiplot next\n", out);
      continue;
    }
    fputs("set title ", out);
    picture_text(out, scale);
    fprintf(out, " . ': %s'\nset ylabel \"%s\" offset 1,0\n", panels[i].title, panels[i].axis);
    fputs(panels[i].cards ? "set key bottom right reverse Left samplen 1 font \",10\"\n"
                          : "unset key\n",
          out);
    if (panels[i].cards) put_cards(out);
    put_lines(out, points, scale, name, &panels[i]);
    fputs("unset arrow\nunset label\n", out);
  }
}

static int sizes(const json_t *points, const char *list[8]) {
  int count = 0;
  const json_t *point;
  size_t i;
  json_array_foreach(points, i, point) {
    bool seen = false;
    for (int k = 0; k < count; k++) seen = seen || !strcmp(list[k], field_text(point, "scale"));
    if (!seen && count < 8) list[count++] = field_text(point, "scale");
  }
  return count;
}

static bool write_script(const json_t *result, const char *folder, const char *name, Error *error) {
  const json_t *points = json_object_get(result, "points");
  const char *list[8];
  int count = sizes(points, list);
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
  for (int i = 0; i < count; i++) put_row(out, points, list[i], name);
  fputs("unset multiplot\n", out);
  return picture_finish(out, name, error);
}

bool coverage_draw(const PlotOf *of, char path[PLOT_PATH], Error *error) {
  const json_t *result = of->result;
  const char *folder = of->folder, *name = field_text(result, "experiment");
  const json_t *points = json_object_get(result, "points");
  if (json_array_size(points) == 0) return fail(error, "%s: no plan is stored yet", name);
  return write_points(points, folder, name, error) && write_script(result, folder, name, error) &&
         picture_draw(folder, name, path, error);
}
