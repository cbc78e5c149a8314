#include "src/data/metrics/structures.h"

/* Both maps as the metrics want to see them. */
typedef struct Maps {
  uint8_t *reference, *prediction;
} Maps;

static bool maps_make(Maps *maps, size_t voxels, Error *error) {
  *maps = (Maps){malloc(voxels), malloc(voxels)};
  return (maps->reference && maps->prediction) ||
         fail(error, "no memory for two label maps of %zu voxels", voxels);
}

static void maps_free(Maps *maps) {
  free(maps->reference);
  free(maps->prediction);
}

/* structure 0: the values themselves; else 1 where the structure is. Nothing where the reference is
 * ignored. */
static void maps_take(const Maps *maps, const Labelling *labelling, int structure,
                      const uint8_t *reference, const uint8_t *prediction, size_t voxels) {
  uint8_t shown[LABEL_VALUES];
  for (int value = 0; value < LABEL_VALUES; value++)
    shown[value] = (uint8_t)(structure ? labelling_holds(labelling, structure, value) : value);
  if (labelling->ignore) shown[labelling->ignore] = 0;
#pragma omp parallel for
  for (size_t i = 0; i < voxels; i++) {
    bool known = !labelling->ignore || reference[i] != labelling->ignore;
    maps->reference[i] = shown[reference[i]];
    maps->prediction[i] = known ? shown[prediction[i]] : 0;
  }
}

bool score_structures(const Labelling *labelling, const uint8_t *reference,
                      const uint8_t *prediction, const Grid *grid, const SurfaceOptions *options,
                      Score *score, Error *error) {
  int structures = labelling_structures(labelling);
  size_t voxels = grid_voxels(grid);
  if (labelling_is_plain(labelling))
    return score_labels(reference, prediction, grid, structures, options, score, error);
  Maps maps;
  bool good = maps_make(&maps, voxels, error);
  if (good && !labelling->regions) {
    maps_take(&maps, labelling, 0, reference, prediction, voxels);
    good = score_labels(maps.reference, maps.prediction, grid, structures, options, score, error);
  }
  for (int s = 1; good && labelling->regions && s < structures; s++) {
    Score pair[2];
    maps_take(&maps, labelling, s, reference, prediction, voxels);
    good = score_labels(maps.reference, maps.prediction, grid, 2, options, pair, error);
    score[s] = pair[1];
  }
  maps_free(&maps);
  return good;
}
