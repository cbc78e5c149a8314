/* How a training patch is changed at random. `nnunet`: rotation, scale and mirroring
 * (patch_read.h), then the intensity steps (intensity.h), as nnU-Net v2; `intensity`: those steps
 * alone. Mirroring is done while the patch is read, before the intensity steps, which do not tell
 * left from right. `qtseg`: picture_change.h, after the patch was read as it is; a device leaves it
 * to the host. */
#ifndef DATA_AUGMENT_H
#define DATA_AUGMENT_H

#include "base/error.h"
#include "src/data/batches/patch_read.h"

typedef struct Augment {
  bool spatial;   /* rotation and scale */
  bool mirror[3]; /* D, H, W: flip with probability 1/2 */
  bool intensity;
  bool picture; /* picture_change.h */
} Augment;

/* name: "none", "intensity", "nnunet" or "qtseg". mirror: "none" or some of the letters d, h and w,
 * such as "dhw"; only nnunet mirrors. */
bool augment_parse(const char *name, const char *mirror, Augment *augment, Error *error);

/* Floats that augment_patch wants for patches of so many values: (D H W C + D H W). */
size_t augment_scratch(const Augment *augment, const int patch[3], int channels);
/* Where the patch is to be read. */
Warp augment_warp(const Augment *augment, const int patch[3], Rng *rng);
/* Changes image (D,H,W,C), and label (D,H,W) where they are pictures, in place. scratch:
 * augment_scratch floats. */
void augment_patch(const Augment *augment, const int patch[3], int channels, Rng *rng,
                   float *scratch, float *image, int32_t *label);

#endif
