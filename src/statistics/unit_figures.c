#include "src/statistics/unit_figures.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/error.h"

static const double *value_of(const Figures *figures, int trial, int at_case) {
  return figures->value + ((ptrdiff_t)trial * figures->cases + at_case) * figures->labels;
}

/* Mean of a structure over the cases in which it counts; how many. */
static int label_mean(const Figures *figures, int trial, int label, double *mean) {
  double sum = 0;
  int count = 0;
  for (int c = 0; c < figures->cases; c++) {
    double value = value_of(figures, trial, c)[label];
    if (isnan(value)) continue;
    sum += value;
    count++;
  }
  *mean = count ? sum / count : NAN;
  return count;
}

static bool is_collapsed(const Figures *figures, int trial) {
  return figures->collapsed && figures->collapsed[trial];
}

double figures_trial(const Figures *figures, int trial, bool collapsed_as_zero) {
  if (is_collapsed(figures, trial)) return collapsed_as_zero ? 0 : NAN;
  double total = 0, mean;
  int labels = 0;
  for (int label = 0; label < figures->labels; label++) {
    if (!label_mean(figures, trial, label, &mean)) continue;
    total += mean;
    labels++;
  }
  return labels ? total / labels : NAN;
}

double figures_mean(const Figures *figures) {
  double sum = 0;
  int count = 0;
  for (int t = 0; t < figures->trials; t++) {
    double value = figures_trial(figures, t, false);
    if (isnan(value)) continue;
    sum += value;
    count++;
  }
  return count ? sum / count : NAN;
}

int figures_unit(const Figures *figures, int at_case) {
  return figures->unit ? figures->unit[at_case] : at_case;
}

int figures_units(const Figures *figures) {
  int units = 0;
  for (int c = 0; c < figures->cases; c++)
    if (figures_unit(figures, c) >= units) units = figures_unit(figures, c) + 1;
  return units;
}

void figures_split(const Figures *figures, int trial, double f, const int *place, int units,
                   double *z) {
  int labels = 0;
  double mean[figures->labels], weight[figures->labels];
  for (int p = 0; p < units; p++) z[p] = f;
  if (is_collapsed(figures, trial)) return;
  for (int l = 0; l < figures->labels; l++) {
    int count = label_mean(figures, trial, l, &mean[l]);
    weight[l] = count ? units / (double)count : 0;
    labels += count > 0;
  }
  for (int l = 0; l < figures->labels; l++) weight[l] /= labels;
  for (int c = 0; c < figures->cases; c++) {
    const double *value = value_of(figures, trial, c);
    int p = place[figures_unit(figures, c)];
    for (int l = 0; l < figures->labels; l++)
      if (!isnan(value[l])) z[p] += weight[l] * (value[l] - mean[l]);
  }
}

/* Whether anything counts in every unit; of a trial that has a figure. */
static bool counts_everywhere(const Figures *figures, int trial, int units) {
  bool counts[units];
  for (int u = 0; u < units; u++) counts[u] = false;
  for (int c = 0; c < figures->cases; c++)
    for (int l = 0; l < figures->labels; l++)
      if (!isnan(value_of(figures, trial, c)[l])) counts[figures_unit(figures, c)] = true;
  for (int u = 0; u < units; u++)
    if (!counts[u]) return false;
  return true;
}

double *figures_by_unit(const Figures *figures, Figures *by_unit) {
  int units = figures_units(figures), place[units + 1];
  double *z = calloc((size_t)(figures->trials * units) + 1, sizeof *z);
  CHECK(z, "no memory for units");
  for (int u = 0; u < units; u++) place[u] = u;
  for (int t = 0; t < figures->trials; t++) {
    double f = figures_trial(figures, t, false), *own = z + (ptrdiff_t)t * units;
    if (!isnan(f) && !counts_everywhere(figures, t, units)) {
      free(z);
      return NULL;
    }
    for (int u = 0; u < units; u++) own[u] = f;
    if (!isnan(f)) figures_split(figures, t, f, place, units, own);
  }
  *by_unit = *figures;
  by_unit->cases = units;
  by_unit->labels = 1;
  by_unit->value = z;
  by_unit->unit = NULL;
  return z;
}
