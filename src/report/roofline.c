/* Measured points under measured ceilings (Williams, Waterman and Patterson 2009): GFLOP/s over
 * FLOP per byte. */
#include <math.h>
#include <string.h>

#include "src/report/plot.h"
#include "src/store/field.h"

static const char NAME[] = "roofline";

/* Sorted by kernel: each is one block of the data file and one entry of the key. */
static const char points_sql[] =
    "SELECT kernel, case_name, pass, flops / bytes AS intensity, gflops, ceiling_pct FROM"
    " bench_rows WHERE run_id = ?1 AND wrong = 0 AND flops > 0 AND bytes > 0 AND gflops > 0"
    " ORDER BY kernel, position";
static const char run_sql[] =
    "SELECT r.id, r.started_at, r.threads, r.copy_gbps, r.fma_gflops, e.cpu FROM bench_runs r"
    " JOIN environments e ON e.id = r.environment_id WHERE ?1 IN (0, r.id)"
    " ORDER BY r.id DESC LIMIT 1";

static bool new_block(const json_t *points, size_t i) {
  return i == 0 || strcmp(field_text(json_array_get(points, i - 1), "kernel"),
                          field_text(json_array_get(points, i), "kernel")) != 0;
}

static bool write_points(const json_t *points, const char *folder, Error *error) {
  FILE *out = picture_create(folder, NAME, ".tsv", error);
  if (!out) return false;
  fputs("# FLOP/byte\tGFLOP/s\tpercent of ceiling\tkernel\tcase\tpass\n", out);
  const json_t *point;
  size_t i;
  json_array_foreach(points, i, point) {
    if (i && new_block(points, i)) fputs("\n\n", out);
    fprintf(out, "%.6g\t%.6g\t%.3g\t%s\t%s\t%s\n", field_number(point, "intensity"),
            field_number(point, "gflops"), field_number(point, "ceiling_pct"),
            field_text(point, "kernel"), field_text(point, "case_name"), field_text(point, "pass"));
  }
  return picture_finish(out, NAME, error);
}

static void put_ranges(FILE *out, const json_t *run, const json_t *points) {
  double ridge = field_number(run, "fma_gflops") / field_number(run, "copy_gbps");
  double left = ridge / 10, right = ridge * 10, low = field_number(run, "fma_gflops");
  const json_t *point;
  size_t i;
  json_array_foreach(points, i, point) {
    left = fmin(left, field_number(point, "intensity") / 1.5);
    right = fmax(right, field_number(point, "intensity") * 1.5);
    low = fmin(low, field_number(point, "gflops") / 1.5);
  }
  fprintf(out, "set logscale xy\nset xrange [%g:%g]\nset yrange [%g:%g]\n", left, right, low,
          1.6 * field_number(run, "fma_gflops"));
}

static bool write_script(const json_t *run, const json_t *points, const char *folder,
                         Error *error) {
  FILE *out = picture_create(folder, NAME, ".gp", error);
  if (!out) return false;
  picture_frame(out);
  fprintf(out, "set title 'Bench run %d, %d threads, ' . ", (int)field_number(run, "id"),
          (int)field_number(run, "threads"));
  picture_text(out, field_text(run, "cpu"));
  fprintf(out,
          " . \"\\n{/*0.8 ceilings measured in the same run: %.1f GB/s copied, %.0f GFLOP/s}\"\n",
          field_number(run, "copy_gbps"), field_number(run, "fma_gflops"));
  fputs("set key outside right top vertical\nset datafile separator \"\\t\"\n"
        "set xlabel \"FLOP per byte that must move\"\nset ylabel \"GFLOP/s\"\n",
        out);
  put_ranges(out, run, points);
  fprintf(out,
          "plot [] (x * %g < %g ? x * %g : %g) with lines lw 2 lc rgb \"black\" title \"ceiling\"",
          field_number(run, "copy_gbps"), field_number(run, "fma_gflops"),
          field_number(run, "copy_gbps"), field_number(run, "fma_gflops"));
  int block = 0;
  for (size_t i = 0; i < json_array_size(points); i++) {
    if (!new_block(points, i)) continue;
    fprintf(out, ", \\\n  \"%s.tsv\" index %d using 1:2 with points pt %d lc rgb \"%s\" title ",
            NAME, block, 4 + block % 10, picture_colours[block % PICTURE_COLOURS]);
    picture_text(out, field_text(json_array_get(points, i), "kernel"));
    block++;
  }
  fputc('\n', out);
  return picture_finish(out, NAME, error);
}

bool roofline_draw(const PlotOf *of, char path[PLOT_PATH], Error *error) {
  Store *store = of->store;
  const char *folder = of->folder;
  json_t *parameters = json_pack("[I]", (json_int_t)of->run), *runs = NULL, *points = NULL;
  bool good = store_query(store, run_sql, parameters, &runs, error);
  json_decref(parameters);
  const json_t *head = json_array_get(runs, 0);
  parameters = json_pack("[I]", json_integer_value(json_object_get(head, "id")));
  good = good && store_query(store, points_sql, parameters, &points, error);
  json_decref(parameters);
  if (good && json_array_size(points) == 0)
    good = fail(error, "no bench run with arithmetic in it is stored%s; `harness bench` makes one",
                of->run ? " under this number" : "");
  good = good && write_points(points, folder, error) && write_script(head, points, folder, error) &&
         picture_draw(folder, NAME, path, error);
  json_decref(points);
  json_decref(runs);
  return good;
}
