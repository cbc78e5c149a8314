/* Intensities as nnU-Net v2 scales them: see scheme.h for what a channel's name says. */
#ifndef DATA_NORMALISE_H
#define DATA_NORMALISE_H

#include "src/data/sets/dataset.h"
#include "src/data/sets/scheme.h"

typedef struct Normaliser {
  int channels;
  bool masked; /* z-scores from the voxels of a mask, others stay: nnU-Net's rule where cropping
                  removes more than a quarter of the median case */
  struct {
    Scheme scheme;
    double low, high, mean, sd; /* CT: of the foreground of the training cases */
  } channel[CHANNELS_MAX];
} Normaliser;

/* Fit on the training cases as read; the validation cases must not be among them. */
bool normaliser_fit(Normaliser *normaliser, const Dataset *dataset, const Volume *training,
                    int count, Error *error);
/* All channels by one scheme of all together, SCHEME_UNIT or SCHEME_SYMMETRIC, after
 * normaliser_fit. */
void normaliser_join(Normaliser *normaliser, Scheme scheme);
/* inside (D,H,W): the mask; may be NULL where it is not `masked`. Errors: those of
 * scheme_takes. */
bool normaliser_apply(const Normaliser *normaliser, const uint8_t *inside, Image *image,
                      Error *error);

#endif
