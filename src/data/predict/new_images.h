/* Images to predict: one file, or a folder of them, with one file per channel (nnU-Net:
 * CASE_0000.nii.gz, CASE_0001.nii.gz ...) or all channels in one (MSD: CASE.nii.gz, 4D; pictures:
 * CASE_0000.png or CASE.png in colours). */
#ifndef DATA_NEW_IMAGES_H
#define DATA_NEW_IMAGES_H

#include "src/data/sets/dataset.h"

typedef struct NewImages {
  Case *item; /* sorted by name; no labels */
  int cases;
} NewImages;

/* A name that ends in _NNNN below `channels` is a channel's, in a folder where any ends in _0000;
 * else it is a case's own. A file CASE_0000.nii.gz given by itself brings its other channels along.
 * Errors: nothing there, a channel missing, a number beyond the channels beside _0000, a case
 * twice, a volume that is no NIfTI. Whatever it returns, new_images_free frees it. */
bool new_images_find(NewImages *images, const char *path, int channels, Error *error);
void new_images_free(NewImages *images);

#endif
