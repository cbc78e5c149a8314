/* Single elements of an op's results, computed anew in double out of its operands: what compares
 * shapes that are too large for the reference to walk. 4,096 elements of outputs and of gradients
 * that are local, 64 of those that sum over a whole map (a weight's), corners and random ones. */
#ifndef BENCH_SAMPLE_H
#define BENCH_SAMPLE_H

#include "kernels/op.h"

/* Whether single elements of this op can be computed: the products, attention and instance norm.
 * The others are cheap as a whole. */
bool sample_knows(OpId id);
/* The largest difference in out[i] or din[i] relative to the largest sample of it; 0 where it is
 * not there or not compared. `call`: backward, with the data of all its operands on the host, NULL
 * for gradients that there are none of. */
double sample_error_out(OpId id, const Call *call, int i);
double sample_error_din(OpId id, const Call *call, int i);

#endif
