/* Random changes of a patch's intensities: nnU-Net v2's get_training_transforms without its spatial
 * part, in its order, with its probabilities, ranges and per-channel probabilities, computed as
 * batchgeneratorsv2 does:
 *
 *   step            sample  channel  amount
 *   noise           .1      all      sd U(0, .1), one for all channels (it calls this a variance)
 *   blur            .2      .5       sigma U(.5, 1) for each axis; reflecting borders
 *   brightness      .15     all      times .75-1.25
 *   contrast        .15     all      times .75-1.25 about the mean, kept within the old range
 *   low resolution  .25     .5       zoom U(.5, 1), nearest down, linear up; not along the
 *                                    thin axis
 *   gamma inverted  .1      all      .7-1.5; mean and sd are kept
 *   gamma           .3      all      .7-1.5; mean and sd are kept
 *
 * A factor written a-b is below and above 1 equally often, uniform on either side. Every channel
 * draws its own amount unless said. */
#ifndef DATA_INTENSITY_H
#define DATA_INTENSITY_H

#include "kernels/cpu/form.h"
#include "kernels/volumes/volume_ops.h"

typedef enum IntensityStep {
  STEP_NOISE,
  STEP_BLUR,
  STEP_BRIGHTNESS,
  STEP_CONTRAST,
  STEP_LOW_RESOLUTION,
  STEP_GAMMA_INVERTED,
  STEP_GAMMA,
  STEP_COUNT
} IntensityStep;

/* Applies every step by its probability to `channels` planes that follow each other from
 * first->value. thin: an axis that low resolution leaves alone, or -1. */
void intensity_change(const PlaneOps *ops, const Plane *first, int channels, int thin, Rng *rng);

/* By the host: the steps alone are below. */
extern const PlaneOps plane_ops_host;

/* What intensity_change is made of. Whether a patch gets the step at all; then, channel by channel
 * (`draw` zero before the first), whether this one does, and by how much: amount[0], for blur and
 * low resolution D, H and W. */
typedef struct IntensityDraw {
  bool drawn;
  double amount[3];
} IntensityDraw;
bool intensity_happens(IntensityStep step, Rng *rng);
bool intensity_draw(IntensityStep step, int thin, Rng *rng, IntensityDraw *draw);

/* The steps alone. */
void intensity_noise(const Plane *plane, double sd, Rng *rng);
void intensity_blur(const Plane *plane, const double sigma[3]);
void intensity_brightness(const Plane *plane, double factor);
void intensity_contrast(const Plane *plane, double factor);
void intensity_low_resolution(const Plane *plane, const double zoom[3]);
void intensity_gamma(const Plane *plane, double exponent, bool inverted);

FORM_DECLARE(intensity_change)
FORM_DECLARE(plane_ops_host)
FORM_DECLARE(intensity_happens)
FORM_DECLARE(intensity_draw)
FORM_DECLARE(intensity_noise)
FORM_DECLARE(intensity_blur)
FORM_DECLARE(intensity_brightness)
FORM_DECLARE(intensity_contrast)
FORM_DECLARE(intensity_low_resolution)
FORM_DECLARE(intensity_gamma)
#define intensity_change         FORM_OF(intensity_change)
#define plane_ops_host           FORM_OF(plane_ops_host)
#define intensity_happens        FORM_OF(intensity_happens)
#define intensity_draw           FORM_OF(intensity_draw)
#define intensity_noise          FORM_OF(intensity_noise)
#define intensity_blur           FORM_OF(intensity_blur)
#define intensity_brightness     FORM_OF(intensity_brightness)
#define intensity_contrast       FORM_OF(intensity_contrast)
#define intensity_low_resolution FORM_OF(intensity_low_resolution)
#define intensity_gamma          FORM_OF(intensity_gamma)

#endif
