/* File names of NIfTI volumes. Private to src/data and the commands that write predictions. */
#ifndef DATA_NIFTI_NAME_H
#define DATA_NIFTI_NAME_H

#include "base/error.h"

#include <dirent.h>
#include <stddef.h>

bool is_folder(const char *path);
/* The name without its folders: a part of `path`. */
const char *nifti_base(const char *path);
/* Length of a file name without .nii or .nii.gz; 0: it is no NIfTI file's. */
size_t nifti_stem(const char *name);
/* nnU-Net numbers the files of channels: NAME_0000, NAME_0001, ... The number NNNN of a name (of
 * `length` characters, without ending) that ends in _NNNN; -1: it does not. */
enum { CHANNEL_SUFFIX = 5 };
int channel_number(const char *name, size_t length);

/* What is said wherever another format is met. */
#define NIFTI_ALONE                                                                                \
  "only NIfTI in one file (.nii.gz, .nii) is read; convert the others, for example with "          \
  "SimpleITK: WriteImage(ReadImage(\"a.nrrd\"), \"a.nii.gz\")"

/* The ending of a medical volume's name in whatever format and case, a part of `name`; NULL: it is
 * no volume's. */
const char *volume_ending(const char *name);
/* False where the folder holds a case twice (a.nii beside a.nii.gz): the error names both files. */
bool nifti_twins(const char *folder, Error *error);
/* The NIfTI files of a folder by name; -1 after an error: no folder, a case twice, or a volume of
 * another format that is nobody's twin and would be passed over. The list is freed by
 * nifti_list_free. */
int nifti_list(const char *folder, struct dirent ***entry, Error *error);
void nifti_list_free(struct dirent **entry, int count);

#endif
