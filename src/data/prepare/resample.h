/* From one grid to another over the same box, as nnU-Net v2 does it (skimage's resize, edge mode,
 * no antialiasing): output voxel i of n_out looks at (i + 0.5) * n_in / n_out - 0.5 of the input,
 * axis by axis, values beyond the border being the border's.
 *
 *   nearest  the voxel at floor(coordinate + 0.5)
 *   linear   of the two neighbours
 *   cubic    B-spline through the voxels (prefiltered; SciPy's order 3), clipped to the range of
 *            the input, channel by channel
 *
 * Where one axis is more than three times coarser than the finest (in the source, else in the
 * target), it is resampled by itself with nearest: see resample_orders. All arrays are (D,H,W,C);
 * runs in OpenMP's threads; a case of equal sizes is copied. */
#ifndef DATA_RESAMPLE_H
#define DATA_RESAMPLE_H

#include "base/error.h"
#include "kernels/cpu/form.h"

#include <stddef.h>
#include <stdint.h>

typedef enum Interpolation { NEAREST, LINEAR, CUBIC } Interpolation;

/* The axis to be resampled by itself, or -1: nnU-Net's threshold of 3, from the source's spacing
 * and else from the target's; two equally coarse axes are none. */
int resample_separate_axis(const double from_mm[3], const double to_mm[3]);
/* The interpolation of each axis: `in_plane`, and NEAREST on the separate axis. */
void resample_orders(const double from_mm[3], const double to_mm[3], Interpolation in_plane,
                     Interpolation order[3]);
enum { RESAMPLED_MOST = 1 << 20 }; /* voxels of an axis; as many as a header may say */
/* rint(from / to * dim), from 1 to RESAMPLED_MOST: the size a volume has at another spacing. */
void resample_dim(const int dim[3], const double from_mm[3], const double to_mm[3], int out[3]);

/* in (dim, channels) -> out (out_dim, channels). Fails only for want of memory (scratch: up to two
 * arrays between the sizes). */
bool resample_values(const float *in, const int dim[3], int channels, const int out_dim[3],
                     const Interpolation order[3], float *out, Error *error);
/* in (dim) -> out (out_dim). LINEAR: the label whose one-hot map, interpolated, is largest; of
 * equal ones the nearest voxel's if that is among them, else the smallest: nnU-Net's labels since
 * batchgenerators 0.25.4 (before: what reached 1/2, else background). With NEAREST on the separate
 * axis, slice by slice. CUBIC is not for labels. Needs no scratch. */
void resample_labels(const uint8_t *in, const int dim[3], const int out_dim[3],
                     const Interpolation order[3], uint8_t *out);

/* Where an output voxel of one axis looks: linear and nearest, for who interpolates by himself (the
 * class maps of a slab, say). value = in[below] * (1 - share) + in[above] * share. */
typedef struct Tap {
  int below, above; /* inside 0 .. size-1 */
  double share;     /* [0, 1) of above; nearest: 0 */
} Tap;

/* tap (out_size). NEAREST or LINEAR. */
void resample_taps(int size, int out_size, Interpolation order, Tap *tap);

FORM_DECLARE(resample_separate_axis)
FORM_DECLARE(resample_orders)
FORM_DECLARE(resample_dim)
FORM_DECLARE(resample_values)
FORM_DECLARE(resample_labels)
FORM_DECLARE(resample_taps)
#define resample_separate_axis FORM_OF(resample_separate_axis)
#define resample_orders        FORM_OF(resample_orders)
#define resample_dim           FORM_OF(resample_dim)
#define resample_values        FORM_OF(resample_values)
#define resample_labels        FORM_OF(resample_labels)
#define resample_taps          FORM_OF(resample_taps)

#endif
