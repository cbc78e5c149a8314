/* What the readers of pictures share. Private to src/data/pictures. */
#ifndef DATA_PICTURE_FILE_H
#define DATA_PICTURE_FILE_H

#include "src/data/volumes/volume.h"

enum { PICTURE_SIDE_MAX = 1 << 20 };

/* The open file, at its beginning, and its size; NULL after an error: not there, not a file, empty,
 * or by its first bytes not of this format ("PNG", "JPEG"), with the name of what it is. */
FILE *picture_open(const char *path, const char *format, int64_t *bytes, Error *error);
/* Before anything of the picture's size is allocated: sides of 1..PICTURE_SIDE_MAX, and a file of
 * at least `least` bytes, below which no picture of this size can be packed. */
bool picture_size_check(const char *path, int width, int height, double least, int64_t bytes,
                        Error *error);
/* EXIF's orientation, 1..8, from a TIFF structure; 0: none is given, or it is damaged. */
int exif_orientation(const unsigned char *tiff, size_t bytes);
/* grid_picture with GRID_ALPHA, and GRID_EXIF_TURNED where the orientation is above 1. */
Grid picture_grid(int width, int height, bool alpha, int orientation);

#endif
