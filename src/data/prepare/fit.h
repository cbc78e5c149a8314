/* A picture brought to the size that a network sees all of it at, as 2D papers do in place of
 * patches and windows (QTSeg's code):
 *
 *   stretch  each axis by itself
 *   pad      the longest side to the size, the other by the same factor, rounded down; zeros to the
 *            right and below
 *
 * Along an axis that shrinks a pixel is the mean of what it covers (OpenCV's INTER_AREA), along one
 * that grows it lies on the line between two (INTER_LINEAR). Label maps take the pixel at floor(i
 * in / out). The way back is a Frame's, whose prepared grid is larger than the box by the padding
 * (frame_held).
 *
 * And colours: YCrCb of 8 bits as OpenCV makes it, in which QTSeg sees skin. */
#ifndef DATA_FIT_H
#define DATA_FIT_H

#include "src/data/prepare/frame.h"

typedef enum FitKind { FIT_NONE, FIT_STRETCH, FIT_PAD, FIT_KINDS } FitKind;
extern const char *const fit_names[FIT_KINDS]; /* "none", "stretch", "pad" */
/* NULL: none. */
bool fit_parse(const char *name, FitKind *kind, Error *error);

/* How a picture of this grid lies in {1,H,W}. Errors: it is no picture (D > 1). */
bool fit_frame(FitKind kind, const Grid *file, const int size[3], Frame *frame, Error *error);
/* The source is only read. On failure nothing is owned. */
bool fit_image(const Frame *frame, const Image *source, Image *fitted, Error *error);
bool fit_label(const Frame *frame, const LabelMap *source, LabelMap *fitted, Error *error);
/* Of anything that has `bytes` bytes a pixel, as labels; what is padding stays as it is. */
void fit_nearest(const Frame *frame, const void *source, size_t bytes, void *fitted);

/* R, G, B in 0 .. 255 become Y, Cr, Cb, whole numbers in 0 .. 255. Errors: other channels, other
 * values. */
bool colours_ycrcb(Image *image, Error *error);

#endif
