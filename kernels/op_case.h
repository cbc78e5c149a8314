/* The cases of an op, kernels/NAME.cases.c: shapes and options on which tests compare its kernels
 * with the reference and benches time them. ops.def demands a table from every op. */
#ifndef KERNELS_OP_CASE_H
#define KERNELS_OP_CASE_H

#include "kernels/op.h"

typedef enum Fill {
  FILL_NORMAL,   /* real, normal(0, 1) */
  FILL_ROUNDED,  /* normal(0, 1) rounded to BF16: what kernels round that have it beside BF16 */
  FILL_POSITIVE, /* real, uniform in [.5, 1.5): scales, standard deviations */
  FILL_LABELS,   /* I32, uniform in 0 .. bound - 1: bound is the number of classes */
  FILL_KNOWN,    /* the same, one in five -1: nothing known; bound 0: all of them */
  FILL_GRID,     /* real, normal times bound: sampling offsets that leave the volume */
  FILL_MATCHING, /* I32 (N, K): in each row every class 0 .. bound - 1 at most once, else -1 */
  FILL_BOXES,    /* real (..., 4): x1, y1 in 0 .. .5, x2, y2 in .6 .. 1 */
} Fill;

static inline bool fill_is_whole(Fill fill) { /* I32 */
  return fill == FILL_LABELS || fill == FILL_KNOWN || fill == FILL_MATCHING;
}

typedef struct CaseInput {
  int rank;
  int64_t dim[MAX_RANK];
  Fill fill;
  double bound;
} CaseInput;

typedef struct OpCase {
  const char *name;    /* "odd", "skip connection", "quick s0"; NULL ends the table */
  const char *options; /* "stride=1,2,2 heads=2"; NULL: the defaults */
  int n_in;
  CaseInput in[MAX_IN];
  bool bench; /* large: timed by benches, not checked by finite differences */
} OpCase;

extern const OpCase *const op_cases[OP_COUNT];

/* What a kernel computes with: it decides how near to the reference it has to come. */
typedef enum Precision {
  PRECISION_FLOAT,
  PRECISION_GPU,  /* float on a GPU, which sums in another order and in larger groups */
  PRECISION_TF32, /* operands of products rounded to 11 bits */
  PRECISION_BF16, /* to 8: half a unit in the last place is 2e-3 */
  PRECISION_DOUBLE
} Precision;

/* The largest error that is no fault, in out[0] (gradient < 0) or in din[gradient], relative to the
 * largest element of that tensor.
 *
 * Of a sum of n terms in float: each addition rounds the sum so far, which is off by .4 u of it in
 * the root mean square, u = 2^-24. Where the terms have random signs, the sum of the first k is
 * some sqrt(k) of them large, so that all roundings together come to .4 u sqrt(1 + 2 + ... + n) =
 * .3 u n terms, beside a result of sqrt(n): .3 u sqrt(n) of it. Where they have one sign it is
 * .4 u sqrt(1 + 4 + ... + n^2) of n, again .25 u sqrt(n). Of a million elements the worst is off by
 * five times that, 1.5 u sqrt(n) of a typical one; a reference in float has an error of its own
 * (1.4 times), and the transforms of Winograd's convolution weigh the terms (2 times). So 4 u
 * sqrt(n), where that is more than what a few roundings allow (measured on all bench cases of the
 * products, n from 16 to 65,536, with AVX2: .01 to 1.1 u sqrt(n)). A sum that lacks one of its n
 * terms is off by .2 / sqrt(n) of the largest and would be seen up to n = 900,000. */
double op_tolerance(const Call *call, int gradient, Precision precision);

/* "stride=1,2,2 heads=2" into an options struct that holds the defaults already. */
bool options_parse(const Option *table, void *options, const char *text, Error *error);

#endif
