/* The arithmetic of training patches (src/data/batches), for the host and for kernels. */
#ifndef KERNELS_VOLUMES_PATCH_MATH_H
#define KERNELS_VOLUMES_PATCH_MATH_H

#include "base/host_device.h"

#include <math.h>
#include <stdint.h>

/* ---- interpolation --------------------------------------------------------------------------- */

/* Of the eight voxels around, z y x from the highest bit of their number. */
HOST_DEVICE void corner_weights(const float f[3], float weight[8]) {
  for (int i = 0; i < 8; i++)
    weight[i] = (i & 4 ? f[0] : 1 - f[0]) * (i & 2 ? f[1] : 1 - f[1]) * (i & 1 ? f[2] : 1 - f[2]);
}

/* The label with the largest share of the weight; the nearest voxel's when shares are equal. */
HOST_DEVICE int32_t corner_vote(const uint8_t label[8], const float weight[8]) {
  int32_t winner = label[0];
  float nearest = weight[0], share[8], best;
  for (int i = 0; i < 8; i++) {
    share[i] = 0;
    for (int j = 0; j < 8; j++) share[i] += label[j] == label[i] ? weight[j] : 0;
  }
  best = share[0];
  for (int i = 1; i < 8; i++)
    if (weight[i] > nearest) nearest = weight[i], winner = label[i], best = share[i];
  for (int i = 0; i < 8; i++)
    if (share[i] > best + 1e-6f) winner = label[i], best = share[i];
  return winner;
}

/* ---- blur ------------------------------------------------------------------------------------ */

enum { BLUR_RADIUS = 3 };

typedef struct Gaussian {
  int radius;
  float weight[2 * BLUR_RADIUS + 1]; /* sums to 1 */
} Gaussian;

/* As many taps as the odd number nearest to 6 sigma + 1/2. */
HOST_DEVICE Gaussian gaussian_make(double sigma) {
  Gaussian g;
  double sum = 0, weight[2 * BLUR_RADIUS + 1];
  g.radius = (int)floor((6 * sigma + .5) / 2);
  if (g.radius > BLUR_RADIUS) g.radius = BLUR_RADIUS;
  for (int i = -g.radius; i <= g.radius; i++)
    sum += weight[i + g.radius] = exp(-.5 * i * i / (sigma * sigma));
  for (int i = 0; i <= 2 * g.radius; i++) g.weight[i] = (float)(weight[i] / sum);
  return g;
}

/* abc|dcba without the border repeated: -1 -> 1, n -> n - 2. */
HOST_DEVICE int reflect(int at, int n) {
  while (n > 1 && (at < 0 || at >= n)) at = at < 0 ? -at : 2 * (n - 1) - at;
  return n > 1 ? at : 0;
}

/* ---- low resolution: of n voxels along an axis `size` are kept ------------------------------- */

HOST_DEVICE int coarse_size(int n, double zoom) {
  double size = rint(n * zoom);
  return size > 1 ? (int)size : 1;
}

HOST_DEVICE int coarse_kept(int i, int n, int size) {
  return (int)((i + .5) * n / size);
}

/* Between which two of the kept ones voxel i lies, and the share of the one above. */
HOST_DEVICE float coarse_place(int i, int n, int size, int *below, int *above) {
  double at = (i + .5) * size / n - .5;
  if (at < 0) at = 0;
  *below = (int)at;
  *above = *below + 1 < size ? *below + 1 : *below;
  return (float)(at - *below);
}

#endif
