/* The multiplications that the form in use can do at best, for src/machine/ceilings.c. */
#ifndef MACHINE_FMA_PEAK_H
#define MACHINE_FMA_PEAK_H

#include "kernels/cpu/form.h"

/* Runs for some microseconds on the calling thread and returns the floating-point operations that
 * it was (multiply and add count as two). in: {1, 0}, which the compiler does not know; reading and
 * writing what is volatile keeps the work between two looks at the clock. */
double fma_peak(const volatile float *in, volatile float *out);
FORM_DECLARE(fma_peak)
#define fma_peak FORM_OF(fma_peak)

#endif
