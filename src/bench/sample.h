/* Single elements of an op's results, computed anew in double out of its operands: what compares
 * shapes that are too large for the reference to walk. 4,096 elements of outputs and of gradients
 * that are local, 64 of those that sum over a whole map (a weight's), corners and random ones. */
#ifndef BENCH_SAMPLE_H
#define BENCH_SAMPLE_H

#include "kernels/op.h"

/* Whether single elements of this op can be computed: the products, attention and instance norm.
 * The others are cheap as a whole. */
bool sample_knows(OpId id);
/* The largest difference of out (forward) and din (backward) relative to the largest sample of its
 * tensor. `call`: backward, with the data of all its operands on the host, NULL for gradients that
 * there are none of. */
void sample_errors(OpId id, const Call *call, double error[2]);

#endif
