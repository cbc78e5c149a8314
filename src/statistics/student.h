/* Student's t distribution, without a library: the tail is the regularised incomplete beta function
 * P(|T| > t) = I_x(nu / 2, 1 / 2), x = nu / (nu + t^2), by its continued fraction (modified Lentz);
 * degrees of freedom need not be whole. Against SciPy over nu 1 .. 1e5 and p 1e-9 .. 1 the relative
 * error is below 2e-10. */
#ifndef STATISTICS_STUDENT_H
#define STATISTICS_STUDENT_H

/* P(|T| > |t|) with nu > 0 degrees of freedom; 1 at t = 0. */
double student_tail(double t, double nu);

/* The t whose two tails hold p together, 0 < p <= 1: student_tail(t, nu) = p. Intervals of 1 - p
 * reach so many standard errors. */
double student_critical(double p, double nu);

/* P(Z < z) of the normal distribution. */
double normal_below(double z);

#endif
