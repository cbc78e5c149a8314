#include "src/report/prospect.h"

#include <math.h>
#include <string.h>

#include "src/data/sets/dataset.h"
#include "src/data/sets/split.h"
#include "src/report/claim_notes.h"
#include "src/report/result.h"
#include "src/statistics/family.h"
#include "src/store/field.h"
#include "src/store/sequence.h"

/* Standard deviations of Dice: of the phantom at quick the four rows of Table 6 had .013 in the
 * root mean square (results/reference); nnU-Net's on the hippocampus .003 to .004. Of a difference
 * between cases .01. */
static const double PHANTOM_SEEDS = 0.013, REAL_SEEDS = 0.004, REAL_FOLDS = 0.003, CASES = 0.01;

/* ---- what is asked --------------------------------------------------------------------------- */

/* smallest and largest stay 0 where the paper claims no difference. */
static void find_claims(const json_t *experiment, Prospect *p) {
  const json_t *rows = json_object_get(experiment, "rows");
  SequenceClaim claim[json_array_size(rows) + 1];
  p->power.claims = sequence_claims(rows, claim);
  for (int i = 0; i < p->power.claims; i++) {
    double claimed = fabs(claim[i].paper);
    if (!claim_made(claimed)) continue;
    if (!claim_made(p->smallest) || claimed < p->smallest) p->smallest = claimed;
    if (claimed > p->largest) p->largest = claimed;
  }
}

/* Different values of a key over the first row's cells. */
static int count_different(const json_t *experiment, const char *key) {
  const json_t *cell, *cells = json_object_get(experiment, "cells");
  size_t i;
  int count = 0;
  json_array_foreach(cells, i, cell) {
    bool seen = json_integer_value(json_object_get(cell, "row")) != 0;
    for (size_t k = 0; k < i && !seen; k++) {
      const json_t *other = json_array_get(cells, k);
      seen = json_integer_value(json_object_get(other, "row")) == 0 &&
             json_equal(json_object_get(cell, key), json_object_get(other, key));
    }
    count += !seen;
  }
  return count;
}

/* Patients, or cases, that the first fold validates on. */
static bool folder_units(const char *dir, int *units, Error *error) {
  Dataset dataset;
  Split split;
  if (!dataset_open(&dataset, dir, error)) return false;
  bool good = split_make(&split, &dataset, split_rule(&dataset), 0, error);
  for (int i = 0; good && i < split.validations; i++) {
    const char *name = dataset.item[split.validation[i]].name;
    size_t length = split_patient(name);
    bool same = i && length && !strncmp(name, dataset.item[split.validation[i - 1]].name, length);
    *units += !same;
  }
  if (good) split_free(&split);
  dataset_free(&dataset);
  return good;
}

/* Without any there is no prospect: what is wrong with a folder is said where it is used. */
static void find_units(const json_t *experiment, Prospect *p) {
  Error error = {""};
  const json_t *data = json_object_get(experiment, "data");
  p->phantom = !strcmp(field_text(data, "kind"), "phantom");
  if (p->phantom)
    p->power.units = (int)field_number(json_object_get(data, "options"), "validation");
  else if (!folder_units(field_text(data, "dir"), &p->power.units, &error))
    p->power.units = 0;
  if (!p->power.units) p->power.claims = 0;
}

/* ---- the spread ------------------------------------------------------------------------------ */

static void declare(Prospect *p) {
  p->power.sigma = p->phantom ? PHANTOM_SEEDS : p->folds > 1 ? REAL_FOLDS : REAL_SEEDS;
  p->power.tau = CASES;
}

/* The table's own rows. */
static bool use_table(Store *store, const json_t *experiment, Prospect *p, Error *error) {
  const ResultChoice choice = {.what = field_text(experiment, "experiment"),
                               .scale = field_text(experiment, "scale"),
                               .dataset = field_text(json_object_get(experiment, "data"), "name"),
                               .alone = true};
  Result *result;
  if (!result_load(store, &choice, &result, error)) return false;
  const ResultFamily *family = result ? &result->family : NULL;
  bool alike = family && (family->folds > 1) == (p->folds > 1);
  if (alike && family->freedom > 0 && !isnan(family->sigma)) {
    p->power.sigma = family->sigma;
    if (family->tau > 0) p->power.tau = family->tau;
    p->freedom = family->folds > 1 ? family->folds - 1 : family->freedom;
    p->rows = result->rows;
    p->own = true;
  }
  result_free(result);
  return true;
}

/* Rows of this scale and data set, each once however many plans it is part of. */
static const char stored_sql[] =
    "SELECT count(*) AS rows, sqrt(avg(sd * sd)) AS sigma, coalesce(sum(n - 1), 0) AS freedom"
    " FROM (SELECT v.n, v.sd FROM v_table v JOIN plans p ON p.id = v.plan_id"
    "  JOIN experiments e ON e.id = p.experiment_id"
    "  WHERE v.scale = ?1 AND v.dataset = ?2 AND e.metric = 'dice' AND v.n > 1 AND v.sd > 0"
    "  GROUP BY v.mean, v.sd, v.n)";

typedef struct Stored {
  int rows, freedom;
  double sigma;
} Stored;

static bool use_stored(Store *store, const json_t *experiment, Prospect *p, Error *error) {
  static const Column columns[] = {
      COLUMN(Stored, rows), COLUMN(Stored, freedom), COLUMN(Stored, sigma), {0}};
  Stored stored = {0};
  json_t *texts, *asked = json_pack("[s, s]", field_text(experiment, "scale"),
                                    field_text(json_object_get(experiment, "data"), "name"));
  if (!store_row(store, stored_sql, asked, columns, &stored, &texts, error)) return false;
  json_decref(texts);
  if (!stored.rows) return true;
  p->power.sigma = stored.sigma;
  p->freedom = stored.freedom;
  p->rows = stored.rows;
  return true;
}

bool prospect_make(Store *store, const json_t *experiment, Prospect *prospect, Error *error) {
  Prospect *p = prospect;
  *p = (Prospect){.freedom = 0};
  if (strcmp(field_text(experiment, "metric"), "dice")) return true;
  find_claims(experiment, p);
  p->seeds = count_different(experiment, "seed");
  p->folds = count_different(experiment, "fold");
  if (p->power.claims) find_units(experiment, p);
  if (!p->power.claims) return true;
  declare(p);
  if (!store) return true;
  if (!use_table(store, experiment, p, error)) return false;
  return p->own || p->folds > 1 || use_stored(store, experiment, p, error);
}

/* ---- what it comes to ------------------------------------------------------------------------ */

/* A verdict needs so many seeds, whatever is asked for. */
static int seeds_shown(const Prospect *p) {
  return p->seeds < SEEDS_VERDICT ? SEEDS_VERDICT : p->seeds;
}

static double detectable(const Prospect *p, double sigma) {
  Power power = p->power;
  power.sigma = sigma;
  if (p->folds > 1) return power_detectable_folds(sigma, p->folds, power.claims);
  return power_detectable(&power, seeds_shown(p));
}

/* A spread of few degrees of freedom may be larger: with probability .8 below this; NaN: enough. */
static double sigma_upper(const Prospect *p) {
  return p->freedom > 0 && p->freedom < 30 ? power_upper(p->power.sigma, p->freedom) : NAN;
}

static void print_source(const Prospect *p, FILE *out) {
  const char *spread = p->folds > 1 ? "of folds' differences" : "between seeds";
  fprintf(out, "  from a spread %s of %.3f", spread, p->power.sigma);
  if (p->folds < 2) fprintf(out, " and of differences between cases of %.3f", p->power.tau);
  if (p->own)
    fprintf(out, ": this table's %d stored rows\n", p->rows);
  else if (p->rows)
    fprintf(out, ": %d stored rows of this scale and data set\n", p->rows);
  else
    fprintf(out, ": declared for %s, nothing is stored\n",
            p->phantom ? "the phantom" : "real data");
}

static void print_need(const Prospect *p, FILE *out) {
  double least = power_floor(&p->power);
  if (!claim_made(p->smallest)) return;
  fprintf(out, "  the paper's difference of %.2g would need ", p->smallest);
  claim_need(power_seeds(&p->power, p->smallest), out);
  if (p->largest > p->smallest) {
    fprintf(out, ", that of %.2g ", p->largest);
    claim_need(power_seeds(&p->power, p->largest), out);
  }
  if (least > 0) fprintf(out, "; on these cases no number shows less than %.3f", least);
  fputc('\n', out);
}

void prospect_print(const Prospect *p, FILE *out) {
  if (!p->power.claims) return;
  double upper = sigma_upper(p);
  bool folds = p->folds > 1;
  fprintf(out, "  %d %ss%s see a difference of %.3f", folds ? p->folds : seeds_shown(p),
          folds ? "fold" : "seed", folds ? "" : " a row", detectable(p, p->power.sigma));
  if (!isnan(upper)) fprintf(out, " (%.3f were the spread %.3f)", detectable(p, upper), upper);
  fprintf(out, " in 80 of 100 tries, %d claim%s corrected (Holm)", p->power.claims,
          p->power.claims == 1 ? "" : "s");
  if (!folds) fprintf(out, ", %d cases", p->power.units);
  if (!folds && p->seeds < SEEDS_VERDICT) fprintf(out, "; fewer seeds give no verdict");
  fputc('\n', out);
  if (!folds) print_need(p, out);
  print_source(p, out);
}

json_t *prospect_json(const Prospect *p) {
  if (!p->power.claims) return json_null();
  bool claims = claim_made(p->smallest);
  double upper = sigma_upper(p), needed = claims ? power_seeds(&p->power, p->smallest) : INFINITY;
  json_t *json =
      json_pack("{s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:o, s:s}", "claims", p->power.claims, "seeds",
                seeds_shown(p), "folds", p->folds, "units", p->power.units, "sigma", p->power.sigma,
                "tau", p->power.tau, "detectable", detectable(p, p->power.sigma), "paper_smallest",
                claims ? json_real(p->smallest) : json_null(), "from",
                p->own    ? "table"
                : p->rows ? "stored"
                          : "declared");
  if (!isnan(upper)) json_object_set_new(json, "detectable_upper", json_real(detectable(p, upper)));
  if (p->folds < 2)
    json_object_set_new(json, "seeds_needed", isinf(needed) ? json_null() : json_real(needed));
  return json;
}
