/* Exact Euclidean distances between two sets of voxels of one grid. Separable: the nearest mark in
 * the row, then the least of (distance to a row)^2 + (distance in that row)^2 over the rows of the
 * slice, then over the slices, each axis with its own spacing. Rows and slices are tried outwards
 * until they alone lie farther than what is found, a register of columns at a time: between
 * surfaces that lie near each other that is a few steps, fewer than the linear-time envelopes of
 * parabolas cost. */
#ifndef DATA_DISTANCE_H
#define DATA_DISTANCE_H

#include "kernels/cpu/form.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Buffers for one grid. */
typedef struct DistanceWork {
  float *row;   /* (D,H,stride): mm^2 to the nearest mark of the row */
  float *slice; /* (D,H,stride): of the slice */
  int stride;   /* W, rounded up */
} DistanceWork;

/* False: no memory; distance_work_free is still allowed. */
bool distance_work_make(DistanceWork *work, const int dim[3]);
void distance_work_free(DistanceWork *work);

/* For each voxel marked in `from` (D,H,W), in scan order, the distance in mm to the nearest one
 * marked in `to`, which marks at least one. Returns how many. */
size_t distance_between(const uint8_t *from, const uint8_t *to, const int dim[3],
                        const double spacing[3], const DistanceWork *work, float *distance);

FORM_DECLARE(distance_work_make)
FORM_DECLARE(distance_work_free)
FORM_DECLARE(distance_between)
#define distance_work_make FORM_OF(distance_work_make)
#define distance_work_free FORM_OF(distance_work_free)
#define distance_between   FORM_OF(distance_between)

#endif
