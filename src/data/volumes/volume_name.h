/* File names of volumes. Private to src/data and the commands that write predictions. */
#ifndef DATA_VOLUME_NAME_H
#define DATA_VOLUME_NAME_H

#include "src/data/volumes/volume_format.h"

#include <dirent.h>
#include <stddef.h>

bool is_folder(const char *path);
/* The name without its folders: a part of `path`. */
const char *volume_base(const char *path);
/* Length of a file name without the ending of a format that is read; 0: it has none. */
size_t volume_stem(const char *name);
/* nnU-Net numbers the files of channels: NAME_0000, NAME_0001, ... The number NNNN of a name (of
 * `length` characters, without ending) that ends in _NNNN; -1: it does not. */
enum { CHANNEL_SUFFIX = 5 };
int channel_number(const char *name, size_t length);

/* The ending of a volume's name in whatever format and case, a part of `name`: of a medical one, or
 * of a picture; NULL: it is none's. */
const char *volume_ending(const char *name);
const char *picture_ending(const char *name);
/* Pictures are a folder's volumes where it holds no other; beside others they are somebody's
 * previews. False where the folder holds a case twice (a.nii beside a.nii.gz, a.jpg beside a.png):
 * the error names both files. */
bool volume_twins(const char *folder, Error *error);
/* The files of a folder that are read, by name; -1 after an error: no folder, a case twice, or a
 * volume of another format that is nobody's twin and would be passed over. The list is freed by
 * volume_list_free. */
int volume_list(const char *folder, struct dirent ***entry, Error *error);
void volume_list_free(struct dirent **entry, int count);

#endif
