/* A picture as segment-anything prepares it, and its masks back on the picture's pixels. */
#ifndef TRAIN_SAM_PICTURE_H
#define TRAIN_SAM_PICTURE_H

#include "src/data/volumes/volume.h"

typedef struct SamPicture {
  int side;          /* of the square that the encoder sees */
  int height, width; /* of the picture */
  int seen[2];       /* of it in the square: rows, columns */
  double factor_x, factor_y;
} SamPicture;

/* One slice of one channel or three, and perhaps one more that says how opaque a pixel is. */
bool sam_picture_check(const Image *image, const char *path, Error *error);
/* Colours, resized and normalised, into square (side, side, 3); what is left over is zero. */
void sam_picture_prepare(const Image *image, int side, float *square, SamPicture *picture);
/* label (height, width): 1 + the mask of the largest logit above zero of (.., h, w, masks), 0 where
 * there is none. dim: the five sizes of the logits. */
void sam_picture_masks(const SamPicture *picture, const float *logits, const int64_t dim[5],
                       uint8_t *label);

#endif
