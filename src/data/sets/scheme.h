/* How a channel's intensities are scaled, as nnU-Net v2 reads it off the channel's name in
 * dataset.json (any case):
 *
 *   CT              clipped to the 0.5 and 99.5 percentile of the foreground voxels of the training
 *                   cases, minus their mean, divided by their standard deviation
 *   noNorm          left as it is
 *   rescale_to_0_1  to 0 .. 1 by its volume's least and most
 *   rgb_to_0_1      divided by 255
 *   any other       minus mean, divided by sd of its own volume, or of the part that was
 *                   recorded
 *
 * and as no name says, but option normalise for all channels of a picture together:
 *
 *   unit            to 0 .. 1 by the least and most of all of them
 *   symmetric       the same, to -1 .. 1 */
#ifndef DATA_SCHEME_H
#define DATA_SCHEME_H

#include "src/data/volumes/volume.h"

typedef enum Scheme {
  SCHEME_ZSCORE,
  SCHEME_CT,
  SCHEME_NONE,
  SCHEME_RESCALE,
  SCHEME_RGB,
  SCHEME_UNIT,
  SCHEME_SYMMETRIC,
  SCHEMES
} Scheme;

/* As plans name them: zscore, ct, none, rescale_to_0_1, rgb_to_0_1, unit, symmetric. */
extern const char *const scheme_names[SCHEMES];
bool scheme_parse(const char *name, Scheme *scheme); /* false: no such scheme */
Scheme scheme_of_channel(const char *channel_name);
/* Whether a channel of this image can be scaled so. Errors: rgb_to_0_1 outside 0 .. 255, noNorm
 * beyond half precision, in which prepared volumes are kept. */
bool scheme_takes(Scheme scheme, const Image *image, int channel, Error *error);

#endif
