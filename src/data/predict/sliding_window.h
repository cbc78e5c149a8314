/* Prediction of a whole volume from overlapping windows, as nnU-Net v2: evenly spaced tiles at most
 * step*patch apart, merged with a Gaussian weight (sigma = patch/8, zeros lifted to the smallest
 * positive weight), a volume smaller than the patch padded evenly on both sides with 0. What is
 * merged are class maps, never query masks: queries may swap places between windows.
 *
 * Windows are taken from the first plane (D) to the last. Planes that no later window reaches are
 * finished, handed on and forgotten: the maps in memory are as high as a patch, not as the
 * volume. */
#ifndef DATA_SLIDING_WINDOW_H
#define DATA_SLIDING_WINDOW_H

#include "engine/backend.h"
#include "src/data/volumes/volume.h"

typedef struct WindowOptions {
  int patch[3];   /* D, H, W */
  double step;    /* share of the patch, (0, 1]; nnU-Net 0.5 */
  int batch;      /* windows per call */
  int classes;    /* with background */
  bool mirror[3]; /* average over all subsets of these flips */
  /* NULL, or a backend whose device merges: PredictPatch leaves its maps at `predicted`, in the
   * device's memory, and the maps that TakeSlab gets lie there too. */
  const Backend *backend;
  const float *predicted;
} WindowOptions;

/* patches (batch,D,H,W,C) -> maps (batch,D,H,W,classes), NULL where a device merges. Both buffers
 * always hold `batch` windows; only the first `count` matter, the rest is zero, so a graph of fixed
 * batch may simply run. */
typedef bool (*PredictPatch)(void *user, int count, const float *patches, float *maps,
                             Error *error);

/* Receives planes first .. end - 1 of the maps (end - first,H,W,classes), the weighted mean of what
 * `predict` returned. Slabs ascend to the volume's end; each begins with the last plane of the one
 * before, so that a receiver may interpolate between planes. */
typedef bool (*TakeSlab)(void *user, int first, int end, const float *maps, Error *error);

bool sliding_window_slabs(const Image *image, const WindowOptions *options, PredictPatch predict,
                          void *predict_user, TakeSlab take, void *take_user, Error *error);
/* The same into maps of the whole volume (D,H,W,classes). */
bool sliding_window(const Image *image, const WindowOptions *options, PredictPatch predict,
                    void *user, float *maps, Error *error);

/* First largest class of each voxel. maps (voxels,classes) -> label (voxels). */
void class_argmax(const float *maps, size_t voxels, int classes, uint8_t *label);

/* The tile origins along one axis, at most `capacity`; returns how many. Exposed for tests. */
int window_origins(int size, int patch, double step, int *origin, int capacity);

#endif
