/* How the intensities of foreground voxels are distributed over a data set. nnU-Net draws 10^8 /
 * cases voxels of every case, with replacement, so that each case counts alike; this is what such a
 * draw comes to in the end, without its chance: the mean over cases of their own distributions.
 *
 * Of a case at most about `quota` values are kept with how many voxels lie below: all of its
 * different values where there are no more (a CT has some thousand), else some, equally far apart
 * in rank, and between two of them as many voxels as a straight line has: ranks are off by less
 * than 1 / quota, in smooth tails by far less. Mean, sd, least and most are exact. */
#ifndef DATA_FOREGROUND_H
#define DATA_FOREGROUND_H

#include "src/data/prepare/frame.h"
#include "src/data/sets/dataset.h"

typedef struct Intensity {
  double mean, median, sd, least, most, low, high; /* low, high: 0.5 and 99.5 percentile */
} Intensity;

/* One channel of one case. */
typedef struct Foreground {
  uint32_t voxels; /* 0: none; the rest is unused then */
  double mean, variance;
  bool all; /* different values are kept */
  int kept;
  uint32_t *key;   /* (kept) values, ascending, as ordered numbers */
  uint32_t *up_to; /* (kept) voxels with this value or a smaller one */
} Foreground;

/* How many values of a case may be kept, for all to stay within 256 MiB; at least 1,000. */
int foreground_quota(int cases, int channels);
/* foreground (channels): of the voxels of the frame's box whose label is not 0. Errors: memory.
 * Whatever it returns, foreground_free frees it. */
bool foreground_take(Foreground *foreground, const Volume *volume, const Frame *frame, int quota,
                     Error *error);
void foreground_free(Foreground *foreground, int count);
/* Over `cases` cases, one every `stride` of the array; without a voxel all is 0. */
Intensity foreground_intensity(const Foreground *foreground, int cases, int stride);

#endif
