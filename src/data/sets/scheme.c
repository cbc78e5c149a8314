#include "src/data/sets/scheme.h"

#include <math.h>
#include <string.h>
#include <strings.h>

const char *const scheme_names[SCHEMES] = {"zscore",     "ct",   "none",     "rescale_to_0_1",
                                           "rgb_to_0_1", "unit", "symmetric"};

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
    if (asking[i] && !strcasecmp(channel_name, asking[i])) return (Scheme)i;
  return SCHEME_ZSCORE;
}

static void range_find(const Image *image, int channel, double *least, double *most) {
  size_t values = grid_voxels(&image->grid) * (size_t)image->channels;
  *least = HUGE_VAL, *most = -HUGE_VAL;
  for (size_t i = (size_t)channel; i < values; i += (size_t)image->channels) {
    *least = fmin(*least, image->data[i]);
    *most = fmax(*most, image->data[i]);
  }
}

/* Half precision ends at 65504, which is 65535 but for its own rounding. */
bool scheme_takes(Scheme scheme, const Image *image, int channel, Error *error) {
  static const double half_most = 65535;
  if (scheme != SCHEME_RGB && scheme != SCHEME_NONE) return true;
  double least, most;
  range_find(image, channel, &least, &most);
  if (scheme == SCHEME_NONE)
    return (least >= -half_most && most <= half_most) ||
           fail(error,
                "channel %d is to be left as it is (noNorm), but holds %g .. %g, beyond the half "
                "precision of prepared volumes, -65504 .. 65504; scale it in the files, or give "
                "the channel another name in dataset.json",
                channel, least, most);
  return (least >= 0 && most <= 255) ||
         fail(error,
              "channel %d is to be scaled as rgb_to_0_1, from 0 .. 255, but holds %g .. %g; "
              "another name of the channel in dataset.json says otherwise",
              channel, least, most);
}
