/* The formats of files that are read, a row each, known by the endings of names. Private to
 * src/data and what writes predictions. */
#ifndef DATA_VOLUME_FORMAT_H
#define DATA_VOLUME_FORMAT_H

#include "src/data/volumes/volume.h"

typedef struct VolumeFormat {
  const char *name;
  const char *ending[3]; /* the first is what is written; NULL behind the last */
  const char *labels;    /* how label maps beside such images end; NULL: as the images do */
  bool picture;          /* D = 1, colours are channels of one file, endings in any case */
  bool (*inspect)(const char *path, Grid *grid, int *channels, Error *error);
  bool (*image_read)(Image *image, const char *path, Error *error);
  bool (*label_read)(LabelMap *label, const char *path, Error *error);
  bool (*image_write)(const Image *image, VoxelType type, const char *path, Error *error);
  bool (*label_write)(const LabelMap *label, const char *path, Error *error);
} VolumeFormat;

enum { VOLUME_FORMATS = 3 };
extern const VolumeFormat volume_formats[VOLUME_FORMATS];

/* The format of a file name or path, and where its ending begins; NULL: none is read so. */
const VolumeFormat *volume_format(const char *name, const char **ending);
/* Of an ending alone, ".png"; NULL: none. */
const VolumeFormat *format_of_ending(const char *ending);
bool is_picture(const char *name);
/* What a label map of an image is written with, when nobody names a file: ".nii.gz", ".png". */
const char *label_ending(const char *image);

/* What is said wherever another format is met. */
#define FORMATS_READ ".nii.gz, .nii, .png, .jpg"
#define FORMATS_ALONE                                                                              \
  "only NIfTI in one file (.nii.gz, .nii) and 2D pictures (.png, .jpg) are read; convert the "     \
  "others, for example with SimpleITK: WriteImage(ReadImage(\"a.nrrd\"), \"a.nii.gz\")"

#endif
