/* What a data set is like, as far as a plan depends on it: nnU-Net v2's dataset_fingerprint.json,
 * which can be read in place of ours. Axes are D,H,W after turning every case to `orientation`,
 * the one that most files have. */
#ifndef DATA_FINGERPRINT_H
#define DATA_FINGERPRINT_H

#include "src/data/plan/foreground.h"
#include "src/data/prepare/normalise.h"

#include <jansson.h>

typedef struct Fingerprint {
  int cases;
  double (*mm)[3]; /* (cases) spacing */
  int (*dim)[3];   /* (cases) after cropping to what is not 0 */
  double relative; /* median share of a case's voxels that cropping leaves */
  int channels;
  Intensity intensity[CHANNELS_MAX]; /* of the foreground */
  char orientation[ORIENTATION_BYTES];
  int turned;     /* cases whose file has another orientation */
  int unoriented; /* cases whose file does not say how it lies: taken as it is stored */
} Fingerprint;

/* Reads every case, `jobs` at a time, with progress on standard error unless quiet. Errors: those
 * of dataset_read and dataset_geometry, no foreground voxel in any case. */
bool fingerprint_make(Fingerprint *fingerprint, const Dataset *dataset, int jobs, bool quiet,
                      Error *error);
/* Orientation (unless it has one), turned and unoriented by the cases' headers. Errors: those of
 * dataset_geometry. */
bool fingerprint_orient(Fingerprint *fingerprint, const Dataset *dataset, Error *error);
void fingerprint_free(Fingerprint *fingerprint);

/* nnU-Net's keys: spacings, shapes_after_crop, foreground_intensity_properties_per_channel,
 * median_relative_size_after_cropping; orientation is ours ("" where it is missing:
 * nnU-Net takes files as they are stored). */
bool fingerprint_read(Fingerprint *fingerprint, const char *path, Error *error);
/* Channels and intensity of either file of nnU-Net, root being all of `path`. */
bool fingerprint_intensities(Fingerprint *fingerprint, const json_t *root, const char *path,
                             Error *error);
bool fingerprint_write(const Fingerprint *fingerprint, const char *path, Error *error);

/* Linear between ranks, as numpy.percentile; sorts the values. */
double percentile(double *value, int count, double percent);

#endif
