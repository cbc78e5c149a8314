/* How the work of an op is counted, in words and numbers: src/bench/formula.def. */
#ifndef BENCH_FORMULA_H
#define BENCH_FORMULA_H

#include "kernels/op.h"

/* The expression, or words behind a colon; "" where nothing is counted. */
const char *formula_flops(OpId op, bool backward);
const char *formula_bytes(OpId op);
/* What an expression comes to with the operands and options of a call; NaN: it is in words. One
 * that cannot be read is a fault of the program. */
double formula_value(const char *text, const Call *call);

/* "2*in2.rows*in0 = 4.53e+08", "none", or the words with what they come to. */
void formula_text(OpId op, const Call *call, double flops, char *text, size_t bytes);

#endif
