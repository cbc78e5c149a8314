/* What is done to every image before a network sees it: turned to one orientation, cropped to what
 * is not 0, normalised, resampled (nnU-Net v2's order). A Preprocessing is the part of plan.json
 * that a trial stores in its configuration, so that new images meet the same treatment. */
#ifndef DATA_PREPROCESS_H
#define DATA_PREPROCESS_H

#include "src/data/prepare/frame.h"
#include "src/data/prepare/normalise.h"
#include "src/data/volumes/volume.h"

#include <jansson.h>

/* ---- the part that was recorded -------------------------------------------------------------- */

/* The part of an image that was recorded, as nnU-Net v2 finds it: every voxel with any channel that
 * is not 0, and the holes that such voxels close off. */

/* inside (D,H,W): 1 inside, 0 outside; to be freed. NULL: no memory. */
uint8_t *nonzero_mask(const Image *image, Error *error);

/* ---- preprocessing --------------------------------------------------------------------------- */

/* Counts up when the same plan gives other voxels: part of caches' keys and of trials. 2: labels by
 * the largest weight, what lies outside apart from background, labelled voxels inside the mask. */
enum { PREPROCESSING_METHOD = 2 };

typedef struct Preprocessing {
  char orientation[ORIENTATION_BYTES]; /* of the prepared volumes (grid_orientation), or ANY */
  double mm[3];                        /* their spacing, D,H,W */
  Normaliser normaliser;
} Preprocessing;

/* {"orientation": "RAS", "spacing_mm": [z,y,x], "nonzero_mask": false, "channels": [{"name": "CT",
 * "scheme": "ct", "low", "high", "mean", "sd"} or {"name", "scheme": one of the other
 * scheme_names}]}. `where` begins the error: the file's name, say. */
bool preprocessing_read(Preprocessing *preprocessing, const json_t *json, const char *where,
                        Error *error);
/* Whether it was planned for this data set's channels. Errors: others in number or name. */
bool preprocessing_fits(const json_t *json, const Dataset *dataset, Error *error);
/* What decides over a prepared volume beside its files, hashed: this and what the data set's values
 * stand for. The key of a cache. */
uint64_t preprocessing_key(const Preprocessing *preprocessing, const Dataset *dataset);

/* The image as read -> prepared (D,H,W,C) and its frame. The source is only read. Errors: other
 * channels than the plan's, memory. On failure nothing is owned. */
bool prepare_image(const Preprocessing *preprocessing, const Image *source, Image *prepared,
                   Frame *frame, Error *error);
/* The same with its labels (see resample_labels). Labelled voxels count as recorded, whatever their
 * intensity; what lies outside nonzero_mask is resampled as a label of its own, smaller than all,
 * and is background afterwards. `prepared` keeps the name. */
bool prepare_volume(const Preprocessing *preprocessing, const Volume *source, Volume *prepared,
                    Frame *frame, Error *error);

#endif
