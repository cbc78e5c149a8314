/* File names of NIfTI volumes. Private to src/data and the commands that write predictions. */
#ifndef DATA_NIFTI_NAME_H
#define DATA_NIFTI_NAME_H

#include "kernels/error.h"

#include <dirent.h>
#include <stddef.h>

bool is_folder(const char *path);
/* The name without its folders: a part of `path`. */
const char *nifti_base(const char *path);
/* Length of a file name without .nii or .nii.gz; 0: it is no NIfTI file's. */
size_t nifti_stem(const char *name);
/* The NIfTI files of a folder by name; -1 after an error. The list is freed by nifti_list_free. */
int nifti_list(const char *folder, struct dirent ***entry, Error *error);
void nifti_list_free(struct dirent **entry, int count);

#endif
