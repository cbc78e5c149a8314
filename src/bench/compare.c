#include "src/bench/compare.h"
#include "src/data/sets/json_text.h"
#include "src/machine/timing.h"
#include "src/report/sheet.h"
#include "src/store/bench.h"
#include "src/store/field.h"

#include <math.h>
#include <string.h>

enum { DONE = 0, USAGE = 2, UNFIT = 3, REGRESSION = 4, NOTHING = 5 };

typedef struct Pair {
  const json_t *old_row, *new_row;
  Samples old_samples, new_samples;
  Ratio ratio;
  Verdict verdict;
  bool broken; /* right before, wrong now */
} Pair;

/* ---- pairing ------------------------------------------------------------------------------------
 */

static bool timed(const json_t *row) {
  return json_integer_value(json_object_get(row, "samples")) > 0;
}

static bool same_bench(const json_t *a, const json_t *b) {
  static const char *const keys[] = {"kernel", "case_name", "pass", "shape", "dtype", "device"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (strcmp(field_text(a, keys[i]), field_text(b, keys[i])) != 0) return false;
  /* The peer's fastest setting may change; that there is one may not. */
  if (!field_text(a, "baseline")[0] != !field_text(b, "baseline")[0]) return false;
  /* What has no time (a wrong result) has no kind of timing either. */
  if (timed(a) && timed(b) && strcmp(field_text(a, "timing"), field_text(b, "timing")) != 0)
    return false;
  return json_integer_value(json_object_get(a, "threads")) ==
         json_integer_value(json_object_get(b, "threads"));
}

static bool wrong(const json_t *row) {
  return json_integer_value(json_object_get(row, "wrong")) != 0;
}

static Samples samples_of(const json_t *row) {
  Samples samples = {0};
  const char *key = strcmp(field_text(row, "timing"), "cold") ? "hot_list" : "cold_list";
  json_t *list = json_loads(field_text(row, key), 0, NULL), *value;
  size_t i;
  json_array_foreach(list, i, value) samples_add(&samples, json_number_value(value));
  json_decref(list);
  return samples;
}

static Pair pair_make(const json_t *old_row, const json_t *new_row, double margin) {
  Pair pair = {.old_row = old_row,
               .new_row = new_row,
               .old_samples = samples_of(old_row),
               .new_samples = samples_of(new_row),
               .broken = wrong(new_row) && !wrong(old_row)};
  const Samples *was = &pair.old_samples, *is = &pair.new_samples;
  pair.ratio = ratio_of_medians(is->value, is->count, was->value, was->count);
  pair.verdict = ratio_verdict(&pair.ratio, is->count, was->count, margin);
  return pair;
}

static int pairs_make(const json_t *old_rows, const json_t *new_rows, double margin, Pair *pairs) {
  int count = 0;
  size_t i, k;
  json_t *new_row, *old_row;
  json_array_foreach(new_rows, i, new_row) json_array_foreach(old_rows, k, old_row) {
    if (!same_bench(old_row, new_row)) continue;
    pairs[count++] = pair_make(old_row, new_row, margin);
    break;
  }
  return count;
}

/* How many of `rows` have no partner among `others`. */
static int alone(const json_t *rows, const json_t *others) {
  int count = 0;
  size_t i, k;
  json_t *row, *other;
  json_array_foreach(rows, i, row) {
    bool found = false;
    json_array_foreach(others, k, other) found = found || same_bench(row, other);
    count += !found;
  }
  return count;
}

/* ---- printing -----------------------------------------------------------------------------------
 */

/* A row without samples says why in its own run; there is nothing to compare then. */
static const char *verdict_of(const Pair *pair) {
  if (wrong(pair->new_row)) return "WRONG";
  bool both = pair->old_samples.count && pair->new_samples.count;
  return both ? verdict_names[pair->verdict] : "NOT TIMED";
}

/* The number, or a dash where there is none. */
static void set_number(Sheet *sheet, int row, int column, const char *format, double value) {
  char text[32];
  snprintf(text, sizeof text, format, value); /* NOLINT: formats are ours */
  sheet_set(sheet, row, column, "%s", isfinite(value) ? text : "-");
}

static void print_pair(Sheet *sheet, int row, const Pair *p) {
  const char *name = field_text(p->new_row, "case_name");
  sheet_set(sheet, row, 0, "%s%s%s", field_text(p->new_row, "kernel"), name[0] ? ", " : "", name);
  sheet_set(sheet, row, 1, "%s", field_text(p->new_row, "pass"));
  set_number(sheet, row, 2, "%.4g", samples_quantile(&p->old_samples, .5));
  set_number(sheet, row, 3, "%.4g", samples_quantile(&p->new_samples, .5));
  set_number(sheet, row, 4, "%.3f", p->ratio.value);
  if (isfinite(p->ratio.value))
    sheet_set(sheet, row, 5, "%.3f-%.3f", p->ratio.low, p->ratio.high);
  else
    sheet_set(sheet, row, 5, "-");
  sheet_set(sheet, row, 6, "%s", verdict_of(p));
}

static void print_text(const Pair *pairs, int count, const int64_t run[2], const int lone[2]) {
  Sheet sheet = sheet_make(count + 1, 7);
  const char *const head[] = {"kernel, case", "pass", "old us", "new us",
                              "new/old",      "95 %", "verdict"};
  for (int c = 0; c < 7; c++) sheet_set(&sheet, 0, c, "%s", head[c]);
  for (int i = 0; i < count; i++) print_pair(&sheet, i + 1, &pairs[i]);
  sheet_text(&sheet, true, stdout);
  for (int i = 0; i < 2; i++)
    if (lone[i])
      printf("%d row%s of run %lld %s not in the other\n", lone[i], lone[i] > 1 ? "s" : "",
             (long long)run[i], lone[i] > 1 ? "are" : "is");
  sheet_free(&sheet);
}

static json_t *real(double value) {
  return isfinite(value) ? json_real(value) : json_null();
}

static void print_json(const Pair *pairs, int count, const int64_t run[2], const int lone[2]) {
  json_t *rows = json_array();
  for (int i = 0; i < count; i++) {
    const Pair *p = &pairs[i];
    json_array_append_new(
        rows,
        json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:s}", "kernel",
                  field_text(p->new_row, "kernel"), "case", field_text(p->new_row, "case_name"),
                  "pass", field_text(p->new_row, "pass"), "shape", field_text(p->new_row, "shape"),
                  "old_us", real(samples_quantile(&p->old_samples, .5)), "new_us",
                  real(samples_quantile(&p->new_samples, .5)), "ratio", real(p->ratio.value),
                  "ratio_low", real(p->ratio.low), "ratio_high", real(p->ratio.high), "verdict",
                  verdict_of(p)));
  }
  json_t *document = json_pack("{s:i, s:I, s:I, s:i, s:i, s:o}", "schema", 1, "old_run",
                               (json_int_t)run[0], "new_run", (json_int_t)run[1], "old_only",
                               lone[0], "new_only", lone[1], "rows", rows);
  json_document(document, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
  json_decref(document);
}

/* ---- the comparison -----------------------------------------------------------------------------
 */

static int conclude(const CompareOptions *o, const json_t *old_rows, const json_t *new_rows,
                    const int64_t run[2], Error *error) {
  Pair *pairs = calloc(json_array_size(new_rows) + 1, sizeof *pairs);
  CHECK(pairs, "no memory for %zu rows", json_array_size(new_rows));
  int count = pairs_make(old_rows, new_rows, o->margin, pairs), slower = 0;
  const int lone[2] = {alone(old_rows, new_rows), alone(new_rows, old_rows)};
  if (count) (o->json ? print_json : print_text)(pairs, count, run, lone);
  for (int i = 0; i < count; i++) {
    slower += pairs[i].broken || pairs[i].verdict == VERDICT_SLOWER;
    samples_free(&pairs[i].old_samples);
    samples_free(&pairs[i].new_samples);
  }
  free(pairs);
  if (!count)
    fail(error, "runs %lld and %lld have no bench in common", (long long)run[0], (long long)run[1]);
  if (slower)
    fail(error, "%d of %d rows became slower or wrong from run %lld to run %lld", slower, count,
         (long long)run[0], (long long)run[1]);
  return !count ? NOTHING : slower ? REGRESSION : DONE;
}

static int compare_in(const CompareOptions *o, Store *store, Error *error) {
  const char *const words[2] = {o->old_run, o->new_run};
  int64_t run[2];
  json_t *rows[2] = {NULL, NULL};
  for (int i = 0; i < 2; i++) {
    if (!store_bench_find(store, words[i], &run[i], error)) return USAGE;
    if (run[i]) continue;
    fail(error, "%s: there is no bench run \"%s\"; `harness bench` stores one", o->db, words[i]);
    return NOTHING;
  }
  int code = UNFIT;
  if (store_bench_rows(store, run[0], &rows[0], error) &&
      store_bench_rows(store, run[1], &rows[1], error))
    code = conclude(o, rows[0], rows[1], run, error);
  json_decref(rows[0]);
  json_decref(rows[1]);
  return code;
}

int bench_compare(const CompareOptions *options, Error *error) {
  Store *store = NULL;
  if (!store_exists(options->db)) {
    fail(error, "%s: nothing is stored yet; `harness bench` stores runs", options->db);
    return NOTHING;
  }
  if (!store_open(&store, options->db, STORE_READ, error)) return UNFIT;
  int code = compare_in(options, store, error);
  store_close(store);
  return code;
}
