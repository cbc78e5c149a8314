/* Measured points under measured ceilings (Williams, Waterman and Patterson 2009): GFLOP/s over
 * FLOP per byte. */
#include <math.h>
#include <string.h>

#include "src/report/plot.h"

static const char NAME[] = "roofline";

/* Sorted by kernel: each is one block of the data file and one entry of the key. */
static const char points_sql[] =
    "SELECT kernel, case_name, pass, flops / bytes AS intensity, gflops, ceiling_pct FROM"
    " bench_rows WHERE run_id = ?1 AND wrong = 0 AND flops > 0 AND bytes > 0 AND gflops > 0"
    " ORDER BY kernel, position";
static const char run_sql[] =
    "SELECT r.id, r.threads, r.copy_gbps, r.fma_gflops, e.cpu FROM bench_runs r"
    " JOIN environments e ON e.id = r.environment_id WHERE ?1 IN (0, r.id)"
    " ORDER BY r.id DESC LIMIT 1";

typedef struct Point {
  const char *kernel, *case_name, *pass;
  double intensity, gflops, ceiling_pct;
} Point;

static const Column point_columns[] = {COLUMN(Point, kernel),
                                       COLUMN(Point, case_name),
                                       COLUMN(Point, pass),
                                       COLUMN(Point, intensity),
                                       COLUMN(Point, gflops),
                                       COLUMN(Point, ceiling_pct),
                                       {0}};

typedef struct Run {
  int64_t id;
  int threads;
  double copy_gbps, fma_gflops;
  const char *cpu;
} Run;

static const Column run_columns[] = {COLUMN(Run, id),        COLUMN(Run, threads),
                                     COLUMN(Run, copy_gbps), COLUMN(Run, fma_gflops),
                                     COLUMN(Run, cpu),       {0}};

static bool new_block(const Point *point, int i) {
  return i == 0 || strcmp(point[i - 1].kernel, point[i].kernel) != 0;
}

static bool write_points(const Rows *points, const char *folder, Error *error) {
  FILE *out = picture_create(folder, NAME, ".tsv", error);
  if (!out) return false;
  fputs("# FLOP/byte\tGFLOP/s\tpercent of ceiling\tkernel\tcase\tpass\n", out);
  const Point *point = points->row;
  for (int i = 0; i < points->count; i++) {
    const Point *p = &point[i];
    if (i && new_block(point, i)) fputs("\n\n", out);
    fprintf(out, "%.6g\t%.6g\t%.3g\t%s\t%s\t%s\n", p->intensity, p->gflops,
            isnan(p->ceiling_pct) ? 0 : p->ceiling_pct, p->kernel, p->case_name, p->pass);
  }
  return picture_finish(out, NAME, error);
}

static void put_ranges(FILE *out, const Run *run, const Rows *points) {
  double ridge = run->fma_gflops / run->copy_gbps;
  double left = ridge / 10, right = ridge * 10, low = run->fma_gflops;
  const Point *point = points->row;
  for (int i = 0; i < points->count; i++) {
    left = fmin(left, point[i].intensity / 1.5);
    right = fmax(right, point[i].intensity * 1.5);
    low = fmin(low, point[i].gflops / 1.5);
  }
  fprintf(out, "set logscale xy\nset xrange [%g:%g]\nset yrange [%g:%g]\n", left, right, low,
          1.6 * run->fma_gflops);
}

static bool write_script(const Run *run, const Rows *points, const char *folder, Error *error) {
  FILE *out = picture_create(folder, NAME, ".gp", error);
  if (!out) return false;
  picture_frame(out);
  fprintf(out, "set title 'Bench run %d, %d threads, ' . ", (int)run->id, run->threads);
  picture_text(out, run->cpu);
  fprintf(out,
          " . \"\\n{/*0.8 ceilings measured in the same run: %.1f GB/s copied, %.0f GFLOP/s}\"\n",
          run->copy_gbps, run->fma_gflops);
  fputs("set key outside right top vertical\nset datafile separator \"\\t\"\n"
        "set xlabel \"FLOP per byte that must move\"\nset ylabel \"GFLOP/s\"\n",
        out);
  put_ranges(out, run, points);
  fprintf(out,
          "plot [] (x * %g < %g ? x * %g : %g) with lines lw 2 lc rgb \"black\" title \"ceiling\"",
          run->copy_gbps, run->fma_gflops, run->copy_gbps, run->fma_gflops);
  const Point *point = points->row;
  int block = 0;
  for (int i = 0; i < points->count; i++) {
    if (!new_block(point, i)) continue;
    fprintf(out, ", \\\n  \"%s.tsv\" index %d using 1:2 with points pt %d lc rgb \"%s\" title ",
            NAME, block, 4 + block % 10, picture_colours[block % PICTURE_COLOURS]);
    picture_text(out, point[i].kernel);
    block++;
  }
  fputc('\n', out);
  return picture_finish(out, NAME, error);
}

bool roofline_draw(const PlotOf *of, char path[PLOT_PATH], Error *error) {
  Run run = {.id = 0};
  Rows points = {0};
  json_t *texts, *parameters = json_pack("[I]", (json_int_t)of->run);
  bool good = store_row(of->store, run_sql, parameters, run_columns, &run, &texts, error) &&
              store_rows(of->store, points_sql, json_pack("[I]", (json_int_t)run.id), point_columns,
                         sizeof(Point), &points, error);
  if (good && !points.count)
    good = fail(error, "no bench run with arithmetic in it is stored%s; `harness bench` makes one",
                of->run ? " under this number" : "");
  good = good && write_points(&points, of->folder, error) &&
         write_script(&run, &points, of->folder, error) &&
         picture_draw(of->folder, NAME, path, error);
  rows_free(&points);
  json_decref(texts);
  return good;
}
