/* The picture of a self test: p of claims against what equal rows should give, and the trials'
 * figures against a normal distribution. */
#include <math.h>

#include "src/report/plot.h"
#include "src/report/self_test.h"

enum { POINTS = 200 };

/* Of `count` ascending p the one below which `share` of them lie; shares evenly in logarithms. */
static void put_p(FILE *out, const SelfTestShape *shape) {
  for (int i = 0; i < POINTS; i++) {
    double share = pow(10, -3.0 * (POINTS - 1 - i) / (POINTS - 1));
    fprintf(out, "%.6g\t%.6g\n", share, pool_quantile(shape->p, shape->count, share));
  }
}

static bool write_points(const SelfTest *test, const char *folder, const char *name, Error *error) {
  FILE *out = picture_create(folder, name, ".tsv", error);
  if (!out) return false;
  fputs(
      "# a block a shape: share of equal rows, p below which so many lie; last the trials: share, "
      "figure\n",
      out);
  for (int i = 0; i < test->shapes; i++) {
    if (!test->shape[i].dealt) continue;
    put_p(out, &test->shape[i]);
    fputs("\n\n", out); /* gnuplot's index */
  }
  for (int t = 0; t < test->pool.trials; t++)
    fprintf(out, "%.6g\t%.6g\n", (t + 0.5) / test->pool.trials, test->figure[t]);
  return picture_finish(out, name, error);
}

static int put_shapes(const SelfTest *test, const char *name, FILE *out) {
  int index = 0;
  for (int i = 0; i < test->shapes; i++) {
    const SelfTestShape *shape = &test->shape[i];
    if (!shape->dealt) continue;
    fprintf(out,
            ", \\\n  \"%s.tsv\" index %d using 1:2 with lines lw 2 lc rgb \"%s\" title "
            "\"%d rows x %d seeds: a verdict in %.1f %%\"",
            name, index, picture_colours[i % PICTURE_COLOURS], shape->rows, shape->seeds,
            100 * shape->rates[0].verdicts.value);
    index++;
  }
  fputc('\n', out);
  return index;
}

static bool write_script(const Result *result, const char *folder, const char *name, Error *error) {
  const SelfTest *test = result->self_test;
  FILE *out = picture_create(folder, name, ".gp", error);
  if (!out) return false;
  picture_frame_sized(out, 1100, 520);
  fputs("set multiplot layout 1,2 title ", out);
  picture_text(out, result->title);
  fputs(" . ': ' . ", out);
  picture_text(out, result->scale);
  fputs(" . ', ' . ", out);
  picture_text(out, result->dataset);
  fputs("\nset datafile separator \"\\t\"\nset key inside bottom right samplen 2\n"
        "set title \"claims of equal rows, new cases\"\n"
        "set logscale xy\nset xrange [0.001:1]\nset yrange [0.0003:1]\n"
        "set xlabel \"this share of the claims\"\nset ylabel \"has a p of at most\"\n"
        "set arrow 1 from 0.05, graph 0 to 0.05, graph 1 nohead lc rgb \"#cccccc\"\n"
        "plot x with lines lc rgb \"#888888\" dt 2 title \"as it should be; above: careful\"",
        out);
  int index = put_shapes(test, name, out);
  fputs("unset logscale\nunset arrow 1\nset autoscale\nset xrange [-3:3]\n"
        "set yrange [*:*]\nset title \"the trials, against a normal distribution\"\n"
        "set xlabel \"normal score\"\nset ylabel \"figure\"\n",
        out);
  fprintf(out,
          "plot %.6g + %.6g * x with lines lc rgb \"#888888\" dt 2 title \"mean, spread\", \\\n"
          "  \"%s.tsv\" index %d using (invnorm($1)):2 with points pt 7 ps 0.7 lc rgb \"#0072b2\" "
          "title \"%d trials\"\nunset multiplot\n",
          test->pool.mean, test->pool.sigma, name, index, test->pool.trials);
  return picture_finish(out, name, error);
}

bool self_test_draw(const PlotOf *of, char path[PLOT_PATH], Error *error) {
  const Result *result = of->result;
  const char *name = result->experiment;
  if (result->self_test->pool.trials < 2)
    return fail(error, "%s: fewer than two trials are done", name);
  return write_points(result->self_test, of->folder, name, error) &&
         write_script(result, of->folder, name, error) &&
         picture_draw(of->folder, name, path, error);
}
