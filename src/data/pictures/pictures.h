/* PNG and JPEG files as volumes of D = 1, as nnU-Net v2's NaturalImage2DIO takes them: colours are
 * channels, values are as stored (gamma and colour profiles are not applied), the spacing is 999,
 * 1, 1, and an EXIF orientation is not followed. Private to src/data.
 *
 *   grey              one channel; of 1, 2 or 4 bits scaled to 0..255, as every viewer does
 *   RGB               three channels
 *   palette           its colours: one channel where all are grey, else three
 *   with alpha        one channel more, the last (GRID_ALPHA), 0..255 or 0..65535
 *   16 bit            0..65535
 *   JPEG              grey or RGB; CMYK is refused
 *
 * A label map is a grey PNG of one channel whose stored numbers are the labels, those of 1, 2 or 4
 * bits too, or the numbers of a palette's colours. A palette of greys that are not their own
 * numbers is refused, since either may be meant; and so is every JPEG, which does not keep values.
 *
 * Both libraries end a bad file by longjmp: what they own lies in a struct that the caller of the
 * guarded step frees, and nothing is allocated beside it in between. */
#ifndef DATA_PICTURES_H
#define DATA_PICTURES_H

#include "src/data/volumes/volume.h"

bool png_file_inspect(const char *path, Grid *grid, int *channels, Error *error);
bool png_file_image_read(Image *image, const char *path, Error *error);
bool png_file_label_read(LabelMap *label, const char *path, Error *error);
/* VOXEL_U8 as 8 bits, VOXEL_I16 as 16 (0..65535), rounded and saturated; 1..4 channels: grey, grey
 * and alpha, RGB, RGBA. */
bool png_file_image_write(const Image *image, VoxelType type, const char *path, Error *error);
/* Grey, of 8 bits; of 16 where a label is 255, as nnU-Net writes it. */
bool png_file_label_write(const LabelMap *label, const char *path, Error *error);

bool jpeg_file_inspect(const char *path, Grid *grid, int *channels, Error *error);
bool jpeg_file_image_read(Image *image, const char *path, Error *error);
/* JPEG keeps neither labels nor intensities. */
bool jpeg_file_label_refuse(LabelMap *label, const char *path, Error *error);
bool jpeg_file_image_refuse(const Image *image, VoxelType type, const char *path, Error *error);
bool jpeg_file_label_write_refuse(const LabelMap *label, const char *path, Error *error);

#endif
