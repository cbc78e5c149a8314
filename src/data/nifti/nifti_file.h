/* NIfTI files as images and label maps: what volume.h says, for .nii and .nii.gz. A file stores
 * voxel (i,j,k) with i fastest, and channels in the fourth dimension. Private to src/data. */
#ifndef DATA_NIFTI_FILE_H
#define DATA_NIFTI_FILE_H

#include "src/data/volumes/volume.h"

/* Reads 3D (one channel) and 4D (channels in the fourth dimension, as MSD) files of type u8 i8 u16
 * i16 u32 i32 u64 i64 f32 f64, applies scl_slope and scl_inter (slope 0 or no number: none).
 * Geometry: sform, else qform, else pixdim; lengths in the header's unit (m, mm, micron; none: mm)
 * become mm. The spacing is pixdim's where that is the affine's to 1e-4 (the affine of an oblique
 * file has it only to the rounding of its floats), else the affine's. Errors: no NIfTI file, more
 * voxels promised than the file holds (checked before the voxels are allocated), truncated or
 * corrupt data, NaN or Inf (the first and how many), 64-bit integers that a double cannot hold. */
bool nifti_file_image_read(Image *image, const char *path, Error *error);
/* As nifti_file_image_read; 3D, numbers within 1e-3 of 0..255, whatever the file's type. */
bool nifti_file_label_read(LabelMap *label, const char *path, Error *error);
bool nifti_file_inspect(const char *path, Grid *grid, int *channels, Error *error);

/* Compressed when the name ends in .gz. VOXEL_I16 and VOXEL_U8 round and saturate. */
bool nifti_file_image_write(const Image *image, VoxelType type, const char *path, Error *error);
bool nifti_file_label_write(const LabelMap *label, const char *path, Error *error);
/* The bytes of another file, packed or not as the name asks. */
bool nifti_repack(const char *from, const char *path, Error *error);

#endif
