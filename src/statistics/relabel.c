#include "src/statistics/relabel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/rng.h"
#include "src/statistics/power.h"
#include "src/statistics/student.h"
#include "src/statistics/trial_pool.h"

static const uint64_t SEED = 1;
static const double NORMAL_95 = 1.959963984540054;

const char *const promise_names[] = {"-", "kept", "open", "broken"};

Promise promise_judge(const RelabelShare *share) {
  if (isnan(share->value)) return PROMISE_NONE;
  if (share->value <= CLAIM_ALPHA) return PROMISE_KEPT;
  return share->low > CLAIM_ALPHA ? PROMISE_BROKEN : PROMISE_OPEN;
}

/* ---- one table ------------------------------------------------------------------------------- */

/* What is kept of every table and claim. */
typedef struct Dealt {
  const Figures *pool;
  const Relabel *how;
  int tables;
  int *trial;   /* (tables, rows * seeds) */
  bool *shown;  /* (tables) any verdict; where structures are compared, any mark */
  Claim *claim; /* (tables, rows - 1), and so all below; NULL: structures are compared */
  double *p, *size, *tau;
  bool *seen;
} Dealt;

static void *memory(size_t count, size_t bytes) {
  void *block = calloc(count + 1, bytes);
  CHECK(block, "no memory for relabelled tables");
  return block;
}

/* The first `count` of a random order of the pool. */
static void deal(Rng *rng, int pool, int count, int *trial) {
  int order[pool];
  for (int i = 0; i < pool; i++) order[i] = i;
  for (int i = 0; i < count; i++) {
    int other = i + (int)rng_below(rng, (uint32_t)(pool - i));
    trial[i] = order[other];
    order[other] = order[i];
  }
}

/* The trials as a row; value, collapsed: its memory. */
static Figures row_of(const Figures *pool, const int *trial, int seeds, double *value,
                      bool *collapsed) {
  size_t size = (size_t)(pool->cases * pool->labels);
  Figures row = *pool;
  for (int s = 0; s < seeds; s++) {
    memcpy(value + (size_t)s * size, pool->value + (size_t)trial[s] * size, sizeof *value * size);
    collapsed[s] = pool->collapsed && pool->collapsed[trial[s]];
  }
  row.trials = seeds;
  row.value = value;
  row.collapsed = collapsed;
  row.fold = NULL;
  return row;
}

/* Were the rows `apart` apart, would the claim's p be that small? A constant changes no spread. */
static bool would_see(const Contrast *contrast, double apart, double level) {
  if (contrast->state != CONTRAST_WHOLE) return false;
  double t = (contrast->value + apart) / sqrt(contrast->variance);
  return student_tail(t, contrast->freedom) <= level;
}

static void judge_table(const Dealt *dealt, int table, const Figures *row, double apart) {
  int claims = dealt->how->rows - 1, at = table * claims;
  Rng coin = rng_make(SEED + 1, RNG_RELABEL, (uint64_t)table);
  Contrast contrast[claims];
  double paper[claims], adjusted[claims];
  for (int i = 0; i < claims; i++) {
    paper[i] = rng_below(&coin, 2) ? 1 : -1;
    dealt->p[at + i] = contrast_claim(&row[i + 1], &row[i], dealt->how->cases_fixed, &contrast[i]);
    dealt->size[at + i] = fabs(contrast[i].value);
    dealt->tau[at + i] = power_tau(&contrast[i]);
    dealt->seen[at + i] = would_see(&contrast[i], paper[i] * apart, CLAIM_ALPHA / claims);
  }
  FamilyJudge *judge = dealt->how->judge ? dealt->how->judge : family_judge;
  judge(claims, paper, contrast, dealt->p + at, adjusted, dealt->claim + at);
  for (int i = 0; i < claims; i++)
    dealt->shown[table] = dealt->shown[table] || claim_is_decided(dealt->claim[at + i]);
}

/* One structure of a row; value: its memory. */
static Figures structure_of(const Figures *row, int label, double *value) {
  Figures one = *row;
  for (int i = 0; i < row->trials * row->cases; i++) value[i] = row->value[i * row->labels + label];
  one.labels = 1;
  one.value = value;
  return one;
}

/* Every structure of every row against the row above, a family of its own. */
static bool any_mark(const Dealt *dealt, const Figures *row) {
  int claims = dealt->how->rows - 1, labels = row->labels, count = 0;
  size_t size = (size_t)(row->trials * row->cases);
  double *value = memory(2 * size, sizeof *value), p[claims * labels + 1];
  bool any = false;
  for (int i = 0; i < claims * labels; i++) {
    Contrast contrast;
    Figures above = structure_of(&row[i / labels], i % labels, value);
    Figures one = structure_of(&row[i / labels + 1], i % labels, value + size);
    p[count] = contrast_claim(&one, &above, dealt->how->cases_fixed, &contrast);
    count += contrast.state == CONTRAST_WHOLE;
  }
  holm_adjust(p, count, p);
  for (int i = 0; i < count; i++) any = any || p[i] <= CLAIM_ALPHA;
  free(value);
  return any;
}

static void deal_table(const Dealt *dealt, int table, double apart) {
  const Figures *pool = dealt->pool;
  int rows = dealt->how->rows, seeds = dealt->how->seeds;
  size_t size = (size_t)(seeds * pool->cases * pool->labels);
  double *value = memory((size_t)rows * size, sizeof *value);
  bool collapsed[rows * seeds];
  Figures row[rows];
  int *trial = dealt->trial + (size_t)table * (size_t)(rows * seeds);
  Rng rng = rng_make(SEED, RNG_RELABEL, (uint64_t)table);
  deal(&rng, pool->trials, rows * seeds, trial);
  for (int r = 0; r < rows; r++)
    row[r] =
        row_of(pool, trial + r * seeds, seeds, value + (size_t)r * size, collapsed + r * seeds);
  if (dealt->claim)
    judge_table(dealt, table, row, apart);
  else
    dealt->shown[table] = any_mark(dealt, row);
  free(value);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static int in_order(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Variance of the share between pools; NaN: every table has all trials. */
static double share_variance(const Dealt *dealt, double share, double v) {
  int pool = dealt->pool->trials, tables = dealt->tables;
  int taken = dealt->how->rows * dealt->how->seeds, with[pool], shown[pool], all = 0;
  double without[pool], mean = 0, squares = 0, noise = 0;
  if (taken == pool || tables < 2) return NAN;
  memset(with, 0, sizeof with);
  memset(shown, 0, sizeof shown);
  for (int t = 0; t < tables; t++) {
    const int *trial = dealt->trial + (size_t)t * (size_t)taken;
    all += dealt->shown[t];
    for (int i = 0; i < taken; i++) with[trial[i]]++, shown[trial[i]] += dealt->shown[t];
  }
  for (int i = 0; i < pool; i++) {
    int rest = tables - with[i];
    without[i] = rest ? (double)(all - shown[i]) / rest : share;
    mean += without[i] / pool;
    noise += v * (1.0 / (rest ? rest : 1) - 1.0 / tables);
  }
  for (int i = 0; i < pool; i++) squares += (without[i] - mean) * (without[i] - mean);
  double factor = (pool - 1.0) / pool;
  noise *= factor;
  return fmax(factor * squares - noise, noise * sqrt(2.0 / pool)) + v / tables;
}

/* Wilson's, of a share of `count` tables. */
static void share_interval(double share, double count, double *low, double *high) {
  double z = NORMAL_95, scale = 1 + z * z / count, middle = (share + z * z / (2 * count)) / scale;
  double reach = z / scale * sqrt(share * (1 - share) / count + z * z / (4 * count * count));
  *low = fmax(0, middle - reach);
  *high = fmin(1, middle + reach);
}

static RelabelShare find_share(const Dealt *dealt) {
  int tables = dealt->tables, shown = 0;
  for (int t = 0; t < tables; t++) shown += dealt->shown[t];
  RelabelShare share = {(double)shown / tables, NAN, NAN, NAN};
  double some = fmin(fmax(share.value, 0.5 / tables), 1 - 0.5 / tables), v = some * (1 - some);
  share.independent = v / share_variance(dealt, share.value, v);
  if (!isnan(share.independent))
    share_interval(share.value, share.independent, &share.low, &share.high);
  return share;
}

static void count_claims(const Dealt *dealt, RelabelRates *rates) {
  int claims = dealt->how->rows - 1, tables = dealt->tables, all = claims * tables;
  int low = 0, any = 0, seen = 0, with[CLAIMS] = {0};
  for (int t = 0; t < tables; t++) {
    bool alone = false;
    for (int i = t * claims; i < (t + 1) * claims; i++) {
      alone = alone || dealt->p[i] <= CLAIM_ALPHA;
      low += dealt->p[i] <= CLAIM_ALPHA;
      seen += dealt->seen[i];
      with[dealt->claim[i]]++;
    }
    any += alone;
  }
  rates->uncorrected = (double)any / tables;
  rates->claims = (double)low / all;
  rates->seen = (double)seen / all;
  rates->supported = (double)with[CLAIM_SUPPORTED] / all;
  rates->contradicted = (double)with[CLAIM_CONTRADICTED] / all;
  qsort(dealt->size, (size_t)all, sizeof *dealt->size, in_order);
  rates->median = pool_quantile(dealt->size, all, 0.5);
  rates->large = pool_quantile(dealt->size, all, 0.95);
}

/* The least difference that a table would show. tau: as some tables find it, where cases count. */
static double find_detectable(const Figures *pool, const Relabel *how, double tau) {
  Power power = {.sigma = pool_spread(pool),
                 .tau = tau,
                 .units = how->cases_fixed ? 0 : figures_units(pool),
                 .claims = how->rows - 1};
  return power_detectable(&power, how->seeds);
}

static double mean_tau(const Dealt *dealt, int tables) {
  int claims = (dealt->how->rows - 1) * tables;
  double squares = 0;
  for (int i = 0; i < claims; i++) squares += dealt->tau[i] * dealt->tau[i];
  return sqrt(squares / claims);
}

static RelabelShare find_marks(const Figures *pool, const Relabel *how) {
  int tables = how->tables < RELABEL_MARKED ? how->tables : RELABEL_MARKED;
  Dealt dealt = {.pool = pool, .how = how, .tables = tables};
  dealt.trial = memory((size_t)(tables * how->rows * how->seeds), sizeof *dealt.trial);
  dealt.shown = memory((size_t)tables, sizeof *dealt.shown);
#pragma omp parallel for schedule(static)
  for (int t = 0; t < tables; t++) deal_table(&dealt, t, 0);
  RelabelShare marks = find_share(&dealt);
  free(dealt.trial), free(dealt.shown);
  return marks;
}

void relabel(const Figures *pool, const Relabel *how, RelabelRates *rates, double *p) {
  size_t tables = (size_t)how->tables, claims = tables * (size_t)(how->rows - 1);
  int taken = how->rows * how->seeds, some = how->tables < 200 ? how->tables : 200;
  CHECK(how->rows > 1 && how->tables > 0 && taken <= pool->trials, "too few trials for a table");
  Figures trials;
  double *unit_value = figures_by_unit(pool, &trials);
  Dealt dealt = {.pool = unit_value ? &trials : pool,
                 .how = how,
                 .tables = how->tables,
                 .trial = memory(tables * (size_t)taken, sizeof *dealt.trial),
                 .shown = memory(tables, sizeof *dealt.shown),
                 .claim = memory(claims, sizeof *dealt.claim),
                 .p = memory(claims, sizeof *dealt.p),
                 .size = memory(claims, sizeof *dealt.size),
                 .tau = memory(claims, sizeof *dealt.tau),
                 .seen = memory(claims, sizeof *dealt.seen)};
  for (int t = 0; t < some; t++) deal_table(&dealt, t, 0);
  rates->detectable = find_detectable(dealt.pool, how, mean_tau(&dealt, some));
  memset(dealt.shown, 0, tables * sizeof *dealt.shown);
#pragma omp parallel for schedule(static)
  for (int t = 0; t < how->tables; t++) deal_table(&dealt, t, rates->detectable);
  rates->verdicts = find_share(&dealt);
  rates->marks = find_marks(pool, how);
  count_claims(&dealt, rates);
  if (p) memcpy(p, dealt.p, claims * sizeof *p);
  free(dealt.trial), free(dealt.shown), free(dealt.claim), free(dealt.p), free(dealt.size);
  free(dealt.tau), free(dealt.seen), free(unit_value);
}
