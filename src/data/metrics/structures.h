/* The metrics of score.h over a data set's structures, which may be regions that
 * overlap. Voxels that the reference marks as ignored count as background in both maps, so that
 * whatever is predicted there is neither right nor wrong. */
#ifndef DATA_STRUCTURES_H
#define DATA_STRUCTURES_H

#include "src/data/metrics/score.h"
#include "src/data/sets/labelling.h"

/* score (labelling_structures); [0], background, is not filled for regions. options: as in
 * score_labels. */
bool score_structures(const Labelling *labelling, const uint8_t *reference,
                      const uint8_t *prediction, const Grid *grid, const SurfaceOptions *options,
                      Score *score, Error *error);

#endif
