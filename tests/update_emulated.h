/* engine/optimizer.cu in the emulator, beside the CPU's optimiser: it starts with a copy of the
 * weights and reads the same gradients. */
#ifndef TESTS_UPDATE_EMULATED_H
#define TESTS_UPDATE_EMULATED_H

#include "engine/optimizer.h"

typedef struct UpdateEmulated UpdateEmulated;
UpdateEmulated *update_emulated_make(const Params *params, const Optimizer *optimizer);
void update_emulated_free(UpdateEmulated *other);
/* The step that params make after it. Returns the norm. */
double update_emulated_step(UpdateEmulated *other, double rate, float loss);
/* The largest difference from the params' weights, average and states. */
double update_emulated_distance(const UpdateEmulated *other);

#endif
