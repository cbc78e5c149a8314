/* The header of a NIfTI-1 or NIfTI-2 file, checked, in the terms of Grid. Private to src/data. */
#ifndef DATA_NIFTI_FILE_HEADER_H
#define DATA_NIFTI_FILE_HEADER_H

#include "src/data/nifti/nifti_file.h"

#include <zlib.h>

typedef struct NiftiHeader {
  Grid grid;
  int channels;
  int datatype;      /* NIFTI_TYPE_... */
  int width;         /* bytes of a voxel */
  bool swapped;      /* the file's byte order is not this machine's */
  int64_t offset;    /* of the first voxel in the uncompressed file */
  int64_t bytes;     /* of all voxels */
  double slope, add; /* value = slope * stored + add */
} NiftiHeader;

/* Everything that can be wrong is found here, before anything the size of the volume is allocated:
 * the file really holds offset + bytes bytes once uncompressed. */
bool nifti_header_read(NiftiHeader *header, const char *path, Error *error);

/* gzerror without the path that zlib puts before it: our sentences begin with it. */
const char *gzip_error(gzFile file, const char *path, int *code);

#endif
