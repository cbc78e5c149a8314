/* Intensities as nnU-Net v2 scales them. A channel named "CT" (any case): clipped to the 0.5 and
 * 99.5 percentile of the foreground voxels of the training cases, minus their mean, divided by
 * their standard deviation. Any other channel: minus mean, divided by sd of its own volume, or of
 * what is not 0 in it. */
#ifndef DATA_NORMALISE_H
#define DATA_NORMALISE_H

#include "src/data/sets/dataset.h"

typedef struct Normaliser {
  int channels;
  bool masked; /* z-scores from the voxels with any channel not 0 (holes filled), 0 elsewhere:
                  nnU-Net's rule where cropping removes more than a quarter of the median case */
  struct {
    bool ct;                    /* false: z-score per volume, the numbers below unused */
    double low, high, mean, sd; /* of the foreground of the training cases */
  } channel[CHANNELS_MAX];
} Normaliser;

/* Fit on the training cases as read; the validation cases must not be among them. */
bool normaliser_fit(Normaliser *normaliser, const Dataset *dataset, const Volume *training,
                    int count, Error *error);
void normaliser_apply(const Normaliser *normaliser, Image *image);

#endif
