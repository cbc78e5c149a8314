#include "src/data/sets/scheme.h"

#include <math.h>
#include <string.h>
#include <strings.h>

const char *const scheme_names[SCHEMES] = {"zscore", "ct", "none", "rescale_to_0_1", "rgb_to_0_1"};

bool scheme_parse(const char *name, Scheme *scheme) {
  for (int i = 0; name && i < SCHEMES; i++) {
    if (strcmp(name, scheme_names[i])) continue;
    *scheme = (Scheme)i;
    return true;
  }
  return false;
}

Scheme scheme_of_channel(const char *channel_name) {
  static const char *const asking[SCHEMES] = {"zscore", "ct", "noNorm", "rescale_to_0_1",
                                              "rgb_to_0_1"};
  for (int i = 0; i < SCHEMES; i++)
    if (!strcasecmp(channel_name, asking[i])) return (Scheme)i;
  return SCHEME_ZSCORE;
}

bool scheme_takes(Scheme scheme, const Image *image, int channel, Error *error) {
  if (scheme != SCHEME_RGB) return true;
  double least = HUGE_VAL, most = -HUGE_VAL;
  size_t values = grid_voxels(&image->grid) * (size_t)image->channels;
  for (size_t i = (size_t)channel; i < values; i += (size_t)image->channels) {
    least = fmin(least, image->data[i]);
    most = fmax(most, image->data[i]);
  }
  return (least >= 0 && most <= 255) ||
         fail(error,
              "channel %d is to be scaled as rgb_to_0_1, from 0 .. 255, but holds %g .. %g; "
              "another name of the channel in dataset.json says otherwise",
              channel, least, most);
}
