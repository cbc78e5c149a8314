/* Paths of files and folders. */
#ifndef BASE_PATHS_H
#define BASE_PATHS_H

#include <stdbool.h>

/* "A/B", to be freed. */
char *path_join(const char *dir, const char *name);
/* Makes a folder and those above it; errno says why not. */
bool path_make(const char *path);
/* Whether both are there and are one file or folder, by whatever names. */
bool path_same(const char *a, const char *b);

#endif
