#include "src/statistics/student.h"

#include <math.h>

#include "base/error.h"

enum { FRACTION_TERMS = 2000 };

/* Coefficient m of the beta function's continued fraction: the even and the odd one. */
static double even_term(double m, double a, double b, double x) {
  return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
}

static double odd_term(double m, double a, double b, double x) {
  return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
}

static double off_zero(double value) {
  const double tiny = 1e-300;
  return fabs(value) < tiny ? tiny : value;
}

/* Converges fast for x <= (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x) {
  double c = 1, d = 1 / off_zero(1 - (a + b) * x / (a + 1)), value = d;
  for (int m = 1; m < FRACTION_TERMS; m++) {
    double term = even_term(m, a, b, x);
    d = 1 / off_zero(1 + term * d);
    c = off_zero(1 + term / c);
    value *= d * c;
    term = odd_term(m, a, b, x);
    d = 1 / off_zero(1 + term * d);
    c = off_zero(1 + term / c);
    value *= d * c;
    if (fabs(d * c - 1) < 1e-15) break;
  }
  return value;
}

/* I_x(a, b); y = 1 - x, given because it may be too small for the difference. */
static double beta_regularised(double a, double b, double x, double y) {
  if (x <= 0) return 0;
  if (y <= 0) return 1;
  double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(y));
  if (x <= (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, y) / b;
}

double student_tail(double t, double nu) {
  CHECK(nu > 0, "a t distribution with %g degrees of freedom", nu);
  double square = t * t;
  if (isinf(square)) return 0;
  return beta_regularised(nu / 2, 0.5, nu / (nu + square), square / (nu + square));
}

double student_critical(double p, double nu) {
  CHECK(p > 0 && p <= 1, "no t has a tail of %g", p);
  double low = 0, high = 1;
  while (student_tail(high, nu) > p && high < 1e150) low = high, high *= 2;
  for (int i = 0; i < 200 && high - low > 1e-14 * high; i++) {
    double middle = (low + high) / 2;
    if (student_tail(middle, nu) > p)
      low = middle;
    else
      high = middle;
  }
  return (low + high) / 2;
}

double normal_below(double z) {
  return erfc(-z / sqrt(2)) / 2;
}
