/* What the processor may do: the one place that asks it. The form of our own kernels
 * (kernels/cpu/form.h) is chosen by it; oneDNN and a PyTorch beside us look for themselves and are
 * held to what is said here. */
#ifndef KERNELS_CPU_PROCESSOR_H
#define KERNELS_CPU_PROCESSOR_H

#include "base/error.h"

#include <stddef.h>

/* Sets of instructions, each with all of the one before, named as the levels of x86-64: v3 is AVX2
 * and FMA, v4 AVX-512 (F, BW, CD, DQ, VL), v4+bf16 its bf16 products too. Portable: less than v3,
 * or another architecture. */
typedef enum Isa { ISA_PORTABLE, ISA_V3, ISA_V4, ISA_V4_BF16, ISA_COUNT } Isa;

const char *isa_name(Isa isa);

/* What is used of what the processor has, by HARNESS_ISA (`asked`; NULL or empty: all). That can
 * only be less. `least`: what the program needs, more than portable where it was compiled for one
 * machine (NATIVE=1); a processor that has less is an error too. */
bool isa_choose(Isa processor, Isa least, const char *asked, Isa *isa, Error *error);

/* Whether this program fits this processor and HARNESS_ISA names a set of instructions that is
 * there. Call it once at the start; what follows ends the process where this would have said no. */
bool processor_check(Error *error);

Isa processor_form(void);      /* which form runs, of those that there are (kernels/cpu/form.h) */
Isa processor_kernels(void);   /* what it uses */
Isa processor_libraries(void); /* what oneDNN uses; asking holds it to that from then on */
/* "v3"; where the two differ "kernels v4+bf16, libraries v3"; after "native " where the kernels
 * were compiled for one machine. */
void processor_isa(char *text, size_t bytes);

/* Why the reference loops serve as kernels, many times slower, as half a sentence; NULL: faster
 * ones run. */
const char *processor_no_simd(void);
/* Why bf16 cannot be used, as half a sentence; NULL: it can. It takes all three: processor, kernels
 * and oneDNN multiply it (every processor with AMX has AVX512-BF16 too). Without, storage in bf16
 * would be slower than in float. */
const char *processor_no_bf16(void);

/* Where HARNESS_ISA asks for less than the processor has: says so, in the environment of programs
 * that are started from now on, to PyTorch, oneDNN, MKL and OpenBLAS. */
void processor_limit_peers(void);

#endif
