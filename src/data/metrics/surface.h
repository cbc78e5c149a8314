/* Distances between the surfaces of a structure in two label maps, in mm; in maps of one slice
 * between its outlines.
 *
 * SURFACE_VOXELS (the default; MONAI and MedPy): the surface is the set of voxels of the structure
 * with a face neighbour outside it; beyond the volume is outside (in one slice: beyond its edges).
 * Each counts once.
 * SURFACE_SURFELS (DeepMind's surface-distance): the surface are the corners between voxels whose
 * eight neighbours are not all alike, each weighted with the area in mm^2 of the marching-cubes
 * triangles in its cell.
 *
 * A map of one slice has outlines: it goes on beyond the slice as it is, so that neighbours are
 * asked within it alone, and areas are lengths (times a slice).
 *
 *   distance   of a surface element to the nearest element of the other surface, both ways
 *   hd95       the larger of the two directions' 95th percentiles; voxels: interpolated between
 *              the two nearest ranks, surfels: the first whose share of the area reaches 95 %
 *   hd         the larger of the two maxima
 *   hd95_pooled  the 95th percentile of both directions' distances taken together (MedPy's hd95)
 *   assd       mean of both directions' distances taken together (weighted)
 *   nsd        share of both surfaces (weighted) whose distance is at most the tolerance */
#ifndef DATA_SURFACE_H
#define DATA_SURFACE_H

#include "src/data/metrics/distance.h"

#include <stdbool.h>

typedef enum SurfaceKind { SURFACE_VOXELS, SURFACE_SURFELS } SurfaceKind;

typedef struct Box {
  int low[3], high[3]; /* D, H, W; high is the first voxel beyond */
} Box;

typedef struct SurfaceScore {
  double hd95, hd95_pooled, hd, assd, nsd;
} SurfaceScore;

typedef struct SurfaceOptions {
  SurfaceKind kind;
  double tolerance; /* mm */
} SurfaceOptions;

/* a, b (D,H,W) hold `label` in at least one voxel each, all of them within the box. False: no
 * memory. */
bool surface_score(const uint8_t *a, const uint8_t *b, const int dim[3], const double spacing[3],
                   int label, const Box *box, const SurfaceOptions *options, SurfaceScore *score);

#endif
