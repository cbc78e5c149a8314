/* One kernel on one case of its op, compared with the double reference: forward and backward, then
 * with fewer gradients asked for (and less of in and out to be seen), with fewer arriving, and in
 * place. */
#ifndef TESTS_OP_CHECK_H
#define TESTS_OP_CHECK_H

#include "kernels/op_case.h"
#include "tests/op_run.h"

/* The largest seen, relative to each tensor's largest element. */
typedef struct OpErrors {
  double forward, backward;
  int foreign; /* allocations in one call, made by libraries */
} OpErrors;

typedef struct OpCheck {
  OpId id;
  const OpCase *c;
  const Kernel *kernel;
  DType type;          /* F32; BF16: the operands that the kernel takes so */
  Precision precision; /* of F32 */
  const OpRun
      *reference; /* NULL: the kernel is only watched. BF16 makes its own, of what it rounded */
  uint64_t *bits; /* NULL, or where a hash of outputs and gradients goes */
} OpCheck;

bool op_check(const OpCheck *check, OpErrors *errors, Error *error);

/* The parts of it: */

/* op_run_make and op_fill. */
bool op_case_run(OpRun *run, OpId id, const OpCase *c, DType type, const Kernel *kernel,
                 Error *error);
bool op_run_has_backward(const OpRun *run);
/* Forward, and backward where there is one. */
bool op_run_both(OpRun *run, Error *error);
/* A gradient that does not arrive counts as zero. */
bool op_check_missing(OpId id, const OpCase *c, const OpRun *full, DType type, Precision precision,
                      OpErrors *errors, Error *error);
bool op_check_in_place(OpRun *run, Error *error);
double tensor_largest(const Tensor *tensor);

#endif
