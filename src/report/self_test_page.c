/* What is printed of a self test. */
#include <math.h>
#include <string.h>

#include "src/report/self_test.h"
#include "src/report/table.h"
#include "src/report/written.h"

static const char *const cases_words[] = {"new", "these"};

static const char *promise_of(const SelfTestShape *shape, int fixed) {
  const RelabelRates *r = &shape->rates[fixed];
  return promise_names[shape->dealt ? promise_judge(&r->verdicts) : PROMISE_NONE];
}

/* ---- columns --------------------------------------------------------------------------------- */

/* A line of the sheet. */
typedef struct Line {
  const SelfTestShape *shape;
  const RelabelRates *rates;
  int fixed;
  double trial_s;
} Line;

typedef struct Place {
  Sheet *sheet;
  int row, column;
} Place;

static void put_share(Place at, double share) {
  sheet_set(at.sheet, at.row, at.column, "%.1f %%", 100 * share);
}

static void put_difference(Place at, double value) {
  if (isnan(value))
    sheet_set(at.sheet, at.row, at.column, "-");
  else
    sheet_set(at.sheet, at.row, at.column, "%.3f", value);
}

static void put_shape(Place at, const Line *line) {
  sheet_set(at.sheet, at.row, at.column, "%d x %d", line->shape->rows, line->shape->seeds);
}

static void put_cases(Place at, const Line *line) {
  sheet_set(at.sheet, at.row, at.column, "%s", cases_words[line->fixed]);
}

static void put_verdicts(Place at, const Line *line) {
  put_share(at, line->rates->verdicts.value);
}

static void put_interval(Place at, const Line *line) {
  const RelabelShare *share = &line->rates->verdicts;
  if (isnan(share->low))
    sheet_set(at.sheet, at.row, at.column, "-");
  else
    sheet_set(at.sheet, at.row, at.column, "[%.1f, %.1f]", 100 * share->low, 100 * share->high);
}

static void put_promise(Place at, const Line *line) {
  sheet_set(at.sheet, at.row, at.column, "%s", promise_of(line->shape, line->fixed));
}

static void put_claims(Place at, const Line *line) {
  put_share(at, line->rates->claims);
}

static void put_uncorrected(Place at, const Line *line) {
  put_share(at, line->rates->uncorrected);
}

static void put_median(Place at, const Line *line) {
  put_difference(at, line->rates->median);
}

static void put_large(Place at, const Line *line) {
  put_difference(at, line->rates->large);
}

static void put_detectable(Place at, const Line *line) {
  put_difference(at, line->rates->detectable);
}

static void put_seen(Place at, const Line *line) {
  put_share(at, line->rates->seen);
}

static void put_marks(Place at, const Line *line) {
  put_share(at, line->rates->marks.value);
}

static void put_minutes(Place at, const Line *line) {
  double minutes = line->shape->rows * line->shape->seeds * line->trial_s / 60;
  sheet_set(at.sheet, at.row, at.column, isnan(minutes) ? "-" : "%.1f", minutes);
}

/* rates, seen: in which of the two narrow sheets. */
typedef struct SelfTestColumn {
  const char *head;
  void (*put)(Place at, const Line *line);
  bool rates, seen, always; /* always: also of what could not be dealt */
} SelfTestColumn;

static const SelfTestColumn columns[] = {{"table", put_shape, true, true, true},
                                         {"cases", put_cases, true, true, true},
                                         {"any verdict", put_verdicts, true, false, false},
                                         {"[95 %]", put_interval, true, false, false},
                                         {"promise", put_promise, true, false, false},
                                         {"a claim alone", put_claims, true, false, false},
                                         {"uncorrected", put_uncorrected, true, false, false},
                                         {"|difference|", put_median, false, true, false},
                                         {"95 % below", put_large, false, true, false},
                                         {"80 of 100 see", put_detectable, false, true, false},
                                         {"seen", put_seen, false, true, false},
                                         {"a mark", put_marks, false, true, false},
                                         {"minutes", put_minutes, false, true, true}};
enum { COLUMNS = sizeof columns / sizeof *columns };

static bool has_column(const SelfTestColumn *column, SelfTestPart part) {
  return part == SELF_TEST_WHOLE || (part == SELF_TEST_RATES ? column->rates : column->seen);
}

Sheet self_test_sheet(const Result *result, SelfTestPart part) {
  const SelfTest *test = result->self_test;
  int count = 0, at = 0;
  for (int k = 0; k < COLUMNS; k++) count += has_column(&columns[k], part);
  Sheet sheet = sheet_make(2 * test->shapes + 1, count);
  for (int k = 0; k < COLUMNS; k++) {
    if (!has_column(&columns[k], part)) continue;
    sheet_set(&sheet, 0, at, "%s", columns[k].head);
    for (int i = 0; i < 2 * test->shapes; i++) {
      const SelfTestShape *shape = &test->shape[i / 2];
      const Line line = {shape, &shape->rates[i % 2], i % 2, result->trial_s};
      const Place place = {&sheet, i + 1, at};
      if (shape->dealt || columns[k].always)
        columns[k].put(place, &line);
      else
        sheet_set(&sheet, i + 1, at, "-");
    }
    at++;
  }
  return sheet;
}

Sheet self_test_trials(const Result *result) {
  static const char *const heads[] = {"trials", "mean",   "spread", "[95 %]", "least",
                                      "25 %",   "median", "75 %",   "most"};
  const Pool *pool = &result->self_test->pool;
  Sheet sheet = sheet_make(2, sizeof heads / sizeof *heads);
  for (int k = 0; k < sheet.columns; k++) sheet_set(&sheet, 0, k, "%s", heads[k]);
  sheet_set(&sheet, 1, 0, "%d", pool->trials);
  put_difference((Place){&sheet, 1, 1}, pool->mean);
  put_difference((Place){&sheet, 1, 2}, pool->sigma);
  sheet_set(&sheet, 1, 3, isnan(pool->low) ? "-" : "[%.3f, %.3f]", pool->low, pool->high);
  for (int q = 0; q < POOL_QUANTILES; q++)
    put_difference((Place){&sheet, 1, 4 + q}, pool->quantile[q]);
  return sheet;
}

/* ---- notes ----------------------------------------------------------------------------------- */

static void tell_broken(const SelfTestShape *shape, bool fixed, const RelabelShare *share,
                        const char *what, const char *mark, FILE *out) {
  if (promise_judge(share) != PROMISE_BROKEN) return;
  fprintf(out,
          "%sBROKEN: of tables of %d equal rows with %d seeds, cases %s, %.1f %% show %s; 5 %% are "
          "promised. Such tables err more often than they say\n",
          mark, shape->rows, shape->seeds, fixed ? "fixed" : "random", 100 * share->value, what);
}

static void note_broken(const SelfTest *test, const char *mark, FILE *out) {
  for (int i = 0; i < 2 * test->shapes; i++) {
    const SelfTestShape *shape = &test->shape[i / 2];
    const RelabelRates *rates = &shape->rates[i % 2];
    if (!shape->dealt) continue;
    tell_broken(shape, i % 2, &rates->verdicts, "a verdict", mark, out);
    tell_broken(shape, i % 2, &rates->marks, "a structure marked + or -", mark, out);
  }
}

static void note_trials(const Result *result, const char *mark, FILE *out) {
  const SelfTest *test = result->self_test;
  const Pool *pool = &test->pool;
  int dealt = pool->trials + pool->collapsed, wanted = result->rows ? result->row[0].cells : 0;
  if (dealt < wanted)
    fprintf(out, "%s%d of %d trials are there: these were dealt\n", mark, dealt, wanted);
  for (int i = 0; i < test->shapes; i++) {
    const SelfTestShape *shape = &test->shape[i];
    if (!shape->dealt)
      fprintf(out, "%s%d x %d: needs %d trials\n", mark, shape->rows, shape->seeds,
              shape->rows * shape->seeds);
  }
  if (pool->collapsed)
    fprintf(out, "%s%d collapsed trial%s dealt like the others: its row has one fewer\n", mark,
            pool->collapsed, pool->collapsed == 1 ? " is" : "s are");
}

static void note_columns(const SelfTest *test, const char *mark, FILE *out) {
  fprintf(out,
          "%sany verdict: of %d tables of so many rows x seeds, each dealt at random out of these "
          "trials, none twice in a table, and judged as every table is (Holm); 5 %% is promised at "
          "most. Cases new: for new seeds and new cases; these: for these cases only\n",
          mark, test->tables);
  for (int i = test->shapes - 1; i >= 0; i--) {
    const SelfTestShape *shape = &test->shape[i];
    if (!shape->dealt || isnan(shape->rates[0].verdicts.independent)) continue;
    fprintf(out,
            "%s[95 %%]: for other trials of this configuration (jackknife): tables share trials, "
            "so that those of %d x %d tell as much as %.0f independent ones\n",
            mark, shape->rows, shape->seeds, shape->rates[0].verdicts.independent);
    break;
  }
  fprintf(out,
          "%spromise: kept; open: above 5 %%, which the interval holds; broken: the interval lies "
          "above it\n"
          "%sa claim alone: claims with p <= .05, whose own [95 %%] leaves out 0; uncorrected: "
          "tables with such a claim, what a rule without correction would show\n"
          "%s|difference|: half are below, 95 %% are; 80 of 100 see: the smallest difference by "
          "the formula of tables; seen: of claims whose rows were moved that far apart; a mark: of "
          "%d of these tables those with a + or - at any structure, 5 %% at most as well\n",
          mark, mark, mark, test->tables < RELABEL_MARKED ? test->tables : RELABEL_MARKED);
}

/* One kind of trials, and of which shape? */
static void note_pool(const Pool *pool, const char *mark, FILE *out) {
  bool small = pool->halves_p < 0.0005, other = pool->halves_p <= CLAIM_ALPHA;
  if (!isnan(pool->halves_p)) {
    fprintf(out, "%sin the order of seeds the second half differs from the first by %+.3f, p ",
            mark, pool->halves);
    if (small)
      fputs("<.001", out);
    else
      fprintf(out, "%.3f", pool->halves_p);
    fputs(other ? ": are they of one kind? Dealt at random they are one all the same\n" : "\n",
          out);
  }
  if (!isnan(pool->skewness))
    fprintf(out, "%sskewness %+.2f; of normal figures 95 of 100 such samples lie within ±%.2f\n",
            mark, pool->skewness, pool->skewness_normal);
}

void self_test_notes(const Result *result, const char *mark, FILE *out) {
  const SelfTest *test = result->self_test;
  note_broken(test, mark, out);
  note_trials(result, mark, out);
  note_columns(test, mark, out);
  note_pool(&test->pool, mark, out);
  table_origin(result, mark, out);
}

/* ---- formats --------------------------------------------------------------------------------- */

static json_t *number(double value) {
  return isnan(value) ? json_null() : json_real(value);
}

enum { VALUES = 16 };

/* What JSON and CSV say of a line, by name. */
typedef struct Named {
  const char *key;
  double value;
} Named;

static void name_values(const SelfTestShape *shape, int fixed, double trial_s, Named to[VALUES]) {
  const RelabelRates *r = &shape->rates[fixed];
  const Named values[VALUES] = {
      {"any_verdict", r->verdicts.value}, {"low", r->verdicts.low},
      {"high", r->verdicts.high},         {"independent", r->verdicts.independent},
      {"claim_alone", r->claims},         {"uncorrected", r->uncorrected},
      {"supported", r->supported},        {"contradicted", r->contradicted},
      {"difference_median", r->median},   {"difference_95", r->large},
      {"detectable", r->detectable},      {"seen", r->seen},
      {"any_mark", r->marks.value},       {"mark_low", r->marks.low},
      {"mark_high", r->marks.high},       {"minutes", shape->rows * shape->seeds * trial_s / 60}};
  memcpy(to, values, sizeof values);
  for (int i = 0; i < VALUES - 1 && !shape->dealt; i++) to[i].value = NAN;
}

static json_t *json_rates(const SelfTestShape *shape, int fixed, double trial_s) {
  Named value[VALUES];
  json_t *line = json_pack("{s:i, s:i, s:s, s:b, s:s}", "rows", shape->rows, "seeds", shape->seeds,
                           "cases", fixed ? "fixed" : "random", "dealt", shape->dealt, "promise",
                           promise_of(shape, fixed));
  name_values(shape, fixed, trial_s, value);
  for (int i = 0; i < VALUES; i++) json_object_set_new(line, value[i].key, number(value[i].value));
  return line;
}

static void print_csv(const Result *result, FILE *out) {
  static const char *const heads[] = {"rows", "seeds", "cases", "promise"};
  const SelfTest *test = result->self_test;
  Sheet sheet = sheet_make(2 * test->shapes + 1, 4 + VALUES);
  for (int k = 0; k < 4; k++) sheet_set(&sheet, 0, k, "%s", heads[k]);
  for (int i = 0; i < 2 * test->shapes; i++) {
    const SelfTestShape *shape = &test->shape[i / 2];
    Named value[VALUES];
    name_values(shape, i % 2, result->trial_s, value);
    sheet_set(&sheet, i + 1, 0, "%d", shape->rows);
    sheet_set(&sheet, i + 1, 1, "%d", shape->seeds);
    sheet_set(&sheet, i + 1, 2, "%s", i % 2 ? "fixed" : "random");
    sheet_set(&sheet, i + 1, 3, "%s", promise_of(shape, i % 2));
    for (int k = 0; k < VALUES; k++) {
      sheet_set(&sheet, 0, 4 + k, "%s", value[k].key);
      if (!isnan(value[k].value)) sheet_set(&sheet, i + 1, 4 + k, "%.9g", value[k].value);
    }
  }
  sheet_csv(&sheet, out);
  sheet_free(&sheet);
}

static json_t *json_pool(const Pool *pool) {
  json_t *quantiles = json_array();
  for (int q = 0; q < POOL_QUANTILES; q++)
    json_array_append_new(quantiles,
                          json_pack("[f, o]", pool_shares[q], number(pool->quantile[q])));
  return json_pack("{s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "trials",
                   pool->trials, "collapsed", pool->collapsed, "mean", number(pool->mean), "sigma",
                   number(pool->sigma), "low", number(pool->low), "high", number(pool->high),
                   "quantiles", quantiles, "skewness", number(pool->skewness), "skewness_normal",
                   number(pool->skewness_normal), "halves", number(pool->halves), "halves_p",
                   number(pool->halves_p));
}

static void print_json(const Result *result, FILE *out) {
  const SelfTest *test = result->self_test;
  json_t *shapes = json_array();
  for (int i = 0; i < 2 * test->shapes; i++)
    json_array_append_new(shapes, json_rates(&test->shape[i / 2], i % 2, result->trial_s));
  json_t *more =
      json_pack("{s:s, s:s, s:s, s:i, s:o, s:o, s:o}", "scale", result->scale, "dataset",
                result->dataset, "device", result->device, "relabelings", test->tables, "trial_s",
                number(result->trial_s), "trials", json_pool(&test->pool), "shapes", shapes);
  document_print(document_make("self_test", result_document(result), more), out);
}

static void put_sheet(Sheet sheet, FILE *out) {
  sheet_fitted(&sheet, false, out);
  fputc('\n', out);
  sheet_free(&sheet);
}

static void print_text(const Result *result, FILE *out) {
  table_head(result, "        ", out);
  fputc('\n', out);
  put_sheet(self_test_trials(result), out);
  put_sheet(self_test_sheet(result, SELF_TEST_RATES), out);
  put_sheet(self_test_sheet(result, SELF_TEST_SEEN), out);
  table_wrapped(self_test_notes, result, "  ", out);
}

void self_test_print(const Result *result, const char *format, FILE *out) {
  if (!strcmp(format, "json")) {
    print_json(result, out);
    return;
  }
  if (!strcmp(format, "csv")) {
    print_csv(result, out);
    return;
  }
  if (!strcmp(format, "text")) {
    print_text(result, out);
    return;
  }
  Sheet sheet = self_test_sheet(result, SELF_TEST_WHOLE);
  table_written(result, &sheet, self_test_notes, format, out);
  sheet_free(&sheet);
}
