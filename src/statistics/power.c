#include "src/statistics/power.h"

#include <math.h>

#include "src/statistics/family.h"
#include "src/statistics/student.h"

static const double WELCH = 1.5, SEEDS_LARGEST = 1e9;

/* The sum of the two quantiles: what an effect must be in standard errors. */
static double effect(double nu, int claims) {
  return student_critical(CLAIM_ALPHA / (claims > 1 ? claims : 1), nu) +
         student_critical(2 * (1 - POWER), nu);
}

double power_detectable(const Power *power, double seeds) {
  if (seeds < 2) return NAN;
  double a = 2 * power->sigma * power->sigma / seeds, b = 0, parts = a * a / (WELCH * (seeds - 1));
  if (power->units > 1) {
    b = power->tau * power->tau / power->units;
    parts += b * b / (power->units - 1);
  }
  return a + b > 0 ? effect((a + b) * (a + b) / parts, power->claims) * sqrt(a + b) : 0;
}

double power_floor(const Power *power) {
  if (power->units < 2 || power->tau == 0) return 0;
  return effect(power->units - 1, power->claims) * power->tau / sqrt(power->units);
}

double power_seeds(const Power *power, double difference) {
  double wanted = fabs(difference), low = SEEDS_VERDICT, high = SEEDS_VERDICT;
  if (power_detectable(power, low) <= wanted) return low;
  if (power_floor(power) >= wanted) return INFINITY;
  while (power_detectable(power, high) > wanted) {
    if (high > SEEDS_LARGEST) return INFINITY;
    low = high, high *= 2;
  }
  while (high - low > 1) {
    double middle = floor((low + high) / 2);
    if (power_detectable(power, middle) > wanted)
      low = middle;
    else
      high = middle;
  }
  return high;
}

double power_detectable_folds(double s, int folds, int claims) {
  return folds > 1 ? effect(folds - 1, claims) * s / sqrt(folds) : NAN;
}

double power_tau(const Contrast *contrast) {
  double rest = contrast->cases - contrast->residual;
  return contrast->folds == 0 && rest > 0 ? sqrt(contrast->units * rest) : 0;
}

double power_upper(double sigma, double freedom) {
  const double z = 0.8416;
  double c = 2 / (9 * freedom), root = 1 - c - z * sqrt(c);
  return sigma * sqrt(freedom / (freedom * root * root * root));
}
