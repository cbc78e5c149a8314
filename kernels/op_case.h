/* The cases of an op, kernels/NAME.cases.c: shapes and options on which tests compare its kernels
 * with the reference and benches time them. ops.def demands a table from every op. */
#ifndef KERNELS_OP_CASE_H
#define KERNELS_OP_CASE_H

#include "kernels/op.h"

typedef enum Fill {
  FILL_NORMAL,   /* real, normal(0, 1) */
  FILL_POSITIVE, /* real, uniform in [.5, 1.5): scales, standard deviations */
  FILL_LABELS,   /* I32, uniform in 0 .. bound - 1: bound is the number of classes */
  FILL_GRID,     /* real, normal times bound: sampling offsets that leave the volume */
  FILL_MATCHING, /* I32 (N, K): in each row every class 0 .. bound - 1 at most once, else -1 */
} Fill;

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
  double tolerance; /* fast float form against the double reference, relative to the largest
                       element; 0: 1e-5 */
  bool bench;       /* large: timed by benches, not checked by finite differences */
} OpCase;

extern const OpCase *const op_cases[OP_COUNT];

/* "stride=1,2,2 heads=2" into an options struct that holds the defaults already. */
bool options_parse(const Option *table, void *options, const char *text, Error *error);

#endif
