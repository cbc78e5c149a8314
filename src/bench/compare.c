#include "src/bench/compare.h"
#include "src/bench/statistics.h"
#include "src/data/sets/json_text.h"
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

static bool same_bench(const json_t *a, const json_t *b) {
  static const char *const keys[] = {"kernel", "case_name", "pass",   "shape",
                                     "dtype",  "device",    "timing", "baseline"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    bool setting = i == 7; /* the peer's fastest setting may change; that there is one may not */
    if (setting ? !field_text(a, keys[i])[0] != !field_text(b, keys[i])[0]
                : strcmp(field_text(a, keys[i]), field_text(b, keys[i])) != 0)
      return false;
  }
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

/* ---- printing -----------------------------------------------------------------------------------
 */

static const char *verdict_of(const Pair *pair) {
  return pair->broken ? "WRONG" : verdict_names[pair->verdict];
}

static void print_text(const Pair *pairs, int count) {
  Sheet sheet = sheet_make(count + 1, 7);
  const char *const head[] = {"kernel, case", "pass", "old us", "new us",
                              "new/old",      "95 %", "verdict"};
  for (int c = 0; c < 7; c++) sheet_set(&sheet, 0, c, "%s", head[c]);
  for (int i = 0; i < count; i++) {
    const Pair *p = &pairs[i];
    const char *name = field_text(p->new_row, "case_name");
    sheet_set(&sheet, i + 1, 0, "%s%s%s", field_text(p->new_row, "kernel"), name[0] ? ", " : "",
              name);
    sheet_set(&sheet, i + 1, 1, "%s", field_text(p->new_row, "pass"));
    sheet_set(&sheet, i + 1, 2, "%.4g", samples_quantile(&p->old_samples, .5));
    sheet_set(&sheet, i + 1, 3, "%.4g", samples_quantile(&p->new_samples, .5));
    sheet_set(&sheet, i + 1, 4, "%.3f", p->ratio.value);
    sheet_set(&sheet, i + 1, 5, "%.3f-%.3f", p->ratio.low, p->ratio.high);
    sheet_set(&sheet, i + 1, 6, "%s", verdict_of(p));
  }
  sheet_text(&sheet, true, stdout);
  sheet_free(&sheet);
}

static json_t *real(double value) {
  return isfinite(value) ? json_real(value) : json_null();
}

static void print_json(const Pair *pairs, int count, int64_t old_run, int64_t new_run) {
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
  json_t *document = json_pack("{s:i, s:I, s:I, s:o}", "schema", 1, "old_run", (json_int_t)old_run,
                               "new_run", (json_int_t)new_run, "rows", rows);
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
  if (count && o->json) print_json(pairs, count, run[0], run[1]);
  if (count && !o->json) print_text(pairs, count);
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
