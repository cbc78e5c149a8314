/* The numbers of a case: a pure function of the case, the same whatever the type. */
#ifndef TESTS_OP_FILL_H
#define TESTS_OP_FILL_H

#include "kernels/op_case.h"
#include "tests/op_run.h"

/* Types and shapes of the inputs; real ones are `real`. */
void op_fill_shapes(const OpCase *c, DType real, Tensor in[MAX_IN]);
/* Inputs and outputs' gradients. */
void op_fill(OpRun *run, const OpCase *c);
/* The values of another run of the same case, whatever its types: what a rounded copy holds. */
void op_fill_from(OpRun *run, const OpRun *other);

#endif
