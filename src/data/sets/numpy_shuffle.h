/* The order in which scikit-learn's KFold(shuffle=True, random_state=seed) takes its samples, and
 * so nnU-Net its cases: numpy.random.RandomState(seed).shuffle of 0 .. count-1, bit for bit. */
#ifndef DATA_NUMPY_SHUFFLE_H
#define DATA_NUMPY_SHUFFLE_H

#include <stdint.h>

/* order (count) is overwritten. */
void numpy_shuffle(uint32_t seed, int *order, int count);

#endif
