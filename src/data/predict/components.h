/* Connected components of a label map, and what post-processing keeps of them. */
#ifndef DATA_COMPONENTS_H
#define DATA_COMPONENTS_H

#include <stdbool.h>
#include <stdint.h>

/* Clears (to 0) every voxel whose label is marked in `labels` (256) but which is not in the largest
 * component of all such voxels together; neighbours share a face, an edge or a corner (26). Of
 * equal sizes the one that begins first stays. map (D,H,W). `cleared` (may be NULL): how many.
 * False: no memory, the map is untouched. */
bool components_keep_largest(uint8_t *map, const int dim[3], const bool labels[256],
                             int64_t *cleared);

#endif
