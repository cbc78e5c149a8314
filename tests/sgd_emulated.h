/* engine/optimizer.cu in the emulator, beside the CPU's optimiser: it starts with a copy of the
 * weights and reads the same gradients. */
#ifndef TESTS_SGD_EMULATED_H
#define TESTS_SGD_EMULATED_H

#include "engine/optimizer.h"

typedef struct SgdEmulated SgdEmulated;
SgdEmulated *sgd_emulated_make(const Params *params, const Sgd *sgd);
void sgd_emulated_free(SgdEmulated *other);
/* Returns the norm. */
double sgd_emulated_step(SgdEmulated *other, double rate, float loss);
/* The largest difference from the params' weights and momenta. */
double sgd_emulated_distance(const SgdEmulated *other);

#endif
