#include "src/bench/row.h"

#include <math.h>
#include <string.h>

BenchRow row_make(void) {
  return (BenchRow){.pass = "",
                    .dtype = "f32",
                    .device = "cpu",
                    .error = NAN,
                    .tolerance = NAN,
                    .least_us = NAN,
                    .bound = "",
                    .peak_bytes = NAN,
                    .baseline_bytes = NAN,
                    .speedup = {NAN, NAN, NAN}};
}

void row_free(BenchRow *row) {
  samples_free(&row->cold);
  samples_free(&row->hot);
  samples_free(&row->baseline_hot);
}

bool row_wrong(const BenchRow *row) {
  return row->failed || (!isnan(row->tolerance) && !(row->error <= row->tolerance));
}

void row_give_up(BenchRow *row, bool lacks, const Error *why) {
  snprintf(row->not_timed, sizeof row->not_timed, "%.239s", why->text);
  row->failed = !lacks;
  row_free(row);
}

/* Why the row has no time; empty: it has one. */
static void untimed_text(const BenchRow *row, char *text, size_t bytes) {
  if (row->not_timed[0] || !row_wrong(row))
    snprintf(text, bytes, "%s", row->not_timed);
  else
    snprintf(text, bytes, "wrong result: %.1e is beyond the tolerance of %.1e", row->error,
             row->tolerance);
}

const Samples *row_samples(const BenchRow *row) {
  return row->cold.count ? &row->cold : &row->hot;
}

/* ---- JSON ---------------------------------------------------------------------------------------
 */

static void put(json_t *object, const char *key, double value) {
  json_object_set_new(object, key, isfinite(value) ? json_real(value) : json_null());
}

static void put_samples(json_t *object, const char *key, const Samples *samples) {
  json_t *list = json_array();
  for (int i = 0; i < samples->count; i++)
    json_array_append_new(list, json_real(samples->value[i]));
  json_object_set_new(object, key, list);
}

static void put_summary(json_t *object, const char *prefix, const Samples *samples) {
  Summary s = samples_summary(samples->value, samples->count);
  const char *const names[] = {"median_us", "q1_us", "q3_us", "min_us"};
  double values[] = {s.median, s.q1, s.q3, s.min};
  char key[32];
  for (int i = 0; i < 4; i++) {
    snprintf(key, sizeof key, "%s%s", prefix, names[i]);
    put(object, key, values[i]);
  }
  snprintf(key, sizeof key, "%ssamples", prefix);
  json_object_set_new(object, key, json_integer(samples->count));
}

static void put_baseline(json_t *object, const BenchRow *row) {
  json_t *name = row->baseline[0] ? json_string(row->baseline) : json_null();
  Summary theirs = samples_summary(row->baseline_hot.value, row->baseline_hot.count);
  json_object_set_new(object, "baseline", name);
  put(object, "baseline_us", theirs.median);
  put(object, "speedup", row->speedup.value);
  put(object, "speedup_low", row->speedup.low);
  put(object, "speedup_high", row->speedup.high);
  put(object, "baseline_bytes", row->baseline_bytes);
}

json_t *row_json(const BenchRow *row, int threads, bool samples) {
  const Samples *chosen = row_samples(row);
  Summary s = samples_summary(chosen->value, chosen->count);
  json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "kernel", row->kernel, "pass",
                             row->pass, "case", row->name, "shape", row->shape, "device",
                             row->device, "dtype", row->dtype, "threads", threads);
  put(object, "error", row->error);
  put(object, "tolerance", row->tolerance);
  json_object_set_new(object, "reference",
                      row->reference ? json_string(row->reference) : json_null());
  char why[sizeof row->not_timed];
  untimed_text(row, why, sizeof why);
  json_object_set_new(object, "wrong", json_boolean(row_wrong(row)));
  json_object_set_new(object, "not_timed", why[0] ? json_string(why) : json_null());
  json_object_set_new(object, "timing", json_string(row->cold.count ? "cold" : "hot"));
  put_summary(object, "", chosen);
  json_object_set_new(object, "noise_met", json_boolean(chosen->met));
  put_summary(object, "hot_", &row->hot);
  put(object, "flops", row->flops);
  put(object, "bytes", row->bytes);
  put(object, "gflops", row->flops / s.median / 1e3);
  put(object, "gbps", row->bytes / s.median / 1e3);
  put(object, "ceiling_us", row->least_us);
  put(object, "ceiling_pct", 100 * row->least_us / s.median);
  json_object_set_new(object, "bound", json_string(row->bound));
  put(object, "peak_bytes", row->peak_bytes);
  put_baseline(object, row);
  if (!samples) return object;
  put_samples(object, "cold_list", &row->cold);
  put_samples(object, "hot_list", &row->hot);
  put_samples(object, "baseline_list", &row->baseline_hot);
  return object;
}

/* ---- text ---------------------------------------------------------------------------------------
 */

/* A time in the unit that leaves three or four digits. */
static const char *time_text(double us, char text[16]) {
  if (isnan(us))
    snprintf(text, 16, "-");
  else if (us < 1e3)
    snprintf(text, 16, "%.3g us", us);
  else if (us < 1e6)
    snprintf(text, 16, "%.*f ms", us < 1e4 ? 2 : us < 1e5 ? 1 : 0, us / 1e3);
  else
    snprintf(text, 16, "%.2f s", us / 1e6);
  return text;
}

static const char *number_text(double value, const char *format, char text[16]) {
  snprintf(text, 16, "-");
  if (isfinite(value)) snprintf(text, 16, format, value); /* NOLINT: formats are ours */
  return text;
}

void row_print_head(FILE *out, int width, bool baseline) {
  fprintf(out, "%-*s %-8s %8s %9s %5s %9s %9s %8s %7s %6s %-7s", width, "kernel, case", "pass",
          "error", "median", "noise", "min", "hot", "GFLOP/s", "GB/s", "ceil.", "bound");
  fprintf(out, baseline ? " %9s %7s  %s\n" : "\n", "peer", "ratio", "interval, by");
}

static void print_times(const BenchRow *row, FILE *out) {
  const Samples *chosen = row_samples(row);
  Summary s = samples_summary(chosen->value, chosen->count);
  Summary hot = samples_summary(row->hot.value, row->hot.count);
  char a[16], b[16], c[16], d[16], e[16], f[16], g[16];
  number_text(100 * summary_noise(&s), "%.1f%%", d);
  if (!chosen->met && isfinite(summary_noise(&s)))
    snprintf(d + strlen(d) - 1, 3, "%%!"); /* the target was not reached */
  fprintf(out, " %9s %5s %9s %9s %8s %7s %6s %-7s", time_text(s.median, a), d, time_text(s.min, b),
          time_text(hot.median, c), number_text(row->flops / s.median / 1e3, "%.1f", e),
          number_text(row->bytes / s.median / 1e3, "%.1f", f),
          number_text(100 * row->least_us / s.median, "%.0f%%", g), row->bound);
}

void row_print(const BenchRow *row, FILE *out, int width, bool baseline) {
  char name[sizeof row->kernel + sizeof row->name + 4], error[16], theirs[16];
  snprintf(name, sizeof name, row->name[0] ? "%s, %s" : "%s", row->kernel, row->name);
  fprintf(out, "%-*s %-8s %8s", width, name, row->pass, number_text(row->error, "%.1e", error));
  char why[sizeof row->not_timed];
  untimed_text(row, why, sizeof why);
  if (why[0]) {
    fprintf(out, " not timed: %s\n", why);
    fflush(out);
    return;
  }
  print_times(row, out);
  if (baseline && row->baseline[0]) {
    Summary s = samples_summary(row->baseline_hot.value, row->baseline_hot.count);
    fprintf(out, " %9s %6.2fx  %.2f-%.2f, %s", time_text(s.median, theirs), row->speedup.value,
            row->speedup.low, row->speedup.high, row->baseline);
  }
  const double mib = 1 << 20;
  if (isfinite(row->peak_bytes)) fprintf(out, "  %.0f MiB", row->peak_bytes / mib);
  if (isfinite(row->baseline_bytes)) fprintf(out, " of %.0f", row->baseline_bytes / mib);
  fputc('\n', out);
  fflush(out);
}
