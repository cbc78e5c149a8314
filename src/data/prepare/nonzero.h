/* The part of an image that was recorded, as nnU-Net v2 finds it: every voxel with any channel that
 * is not 0, and the holes that such voxels close off. */
#ifndef DATA_NONZERO_H
#define DATA_NONZERO_H

#include "src/data/nifti/volume.h"

/* inside (D,H,W): 1 inside, 0 outside; to be freed. NULL: no memory. */
uint8_t *nonzero_mask(const Image *image, Error *error);

#endif
