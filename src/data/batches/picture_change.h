/* Random changes of a training picture, as QTSeg's recipe: none to four of these ten, different
 * ones, in a random order.
 *
 *   flip        up and down, or left and right: each with probability 1/2
 *   noise       normal, sd 1.275 of 255
 *   blur        normal, sigma 1
 *   contrast    times .5-1.5 about the middle of the range; for half of them each channel by itself
 *   scale       .5-2, each axis by itself
 *   rotate      -40 .. 40 degrees
 *   shear       -16 .. 16 degrees
 *   bend        a grid of 4 x 4 points moves by sd .008-.03 of the size, pixels between by lines
 *   shift       -20 .. 20 % of each axis
 *
 * What moves pixels is drawn together and read once, bilinearly, labels from the nearest pixel (a
 * chain of libraries' calls would lose what left the picture on the way; its bend goes by triangles
 * of the grid); then what changes values follows in the order drawn. Values are taken as a share of
 * the picture's own range, which is its 0 .. 255: what a shift brings in is its least. */
#ifndef DATA_PICTURE_CHANGE_H
#define DATA_PICTURE_CHANGE_H

#include "base/rng.h"

#include <stdbool.h>

/* One picture in place: image (H,W,C), label (H,W). scratch: H W (C + 1) floats. */
void picture_change(const int size[2], int channels, Rng *rng, float *scratch, float *image,
                    int32_t *label);

/* ---- its parts, for tests ------------------------------------------------------------------- */

typedef enum PictureStep {
  PICTURE_FLIP_V,
  PICTURE_FLIP_H,
  PICTURE_NOISE,
  PICTURE_BLUR,
  PICTURE_CONTRAST,
  PICTURE_SCALE,
  PICTURE_ROTATE,
  PICTURE_SHEAR,
  PICTURE_BEND,
  PICTURE_SHIFT,
  PICTURE_STEPS
} PictureStep;

enum { PICTURE_MOST = 4, BEND_POINTS = 4 };

/* One that moves pixels: a pixel of the result, from the middle, is read at matrix p + offset, or
 * at p plus what the grid says. */
typedef struct PictureMove {
  bool bends;
  double matrix[2][2], offset[2];
  double grid[2][BEND_POINTS][BEND_POINTS]; /* (axis, y, x): pixels */
} PictureMove;

/* Which are drawn, in their order; returns how many. */
int picture_steps(Rng *rng, PictureStep step[PICTURE_MOST]);
/* False: the step moves nothing (this time). */
bool picture_move(PictureStep step, const int size[2], Rng *rng, PictureMove *move);
/* Where a pixel of the result of all moves is read: (y, x), of the picture before the first. */
void picture_source(const PictureMove *move, int moves, const int size[2], int h, int w,
                    double at[2]);

#endif
