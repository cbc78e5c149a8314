/* A file that is there whole or not at all, whatever ends this process or the machine meanwhile: it
 * is written beside its place as "PATH.part", brought to the disk, then renamed. */
#ifndef BASE_WHOLE_FILE_H
#define BASE_WHOLE_FILE_H

#include "base/error.h"

enum { WHOLE_PATH = 4608, WHOLE_BUFFER = 1 << 16 };

typedef struct WholeFile {
  char path[WHOLE_PATH], part[WHOLE_PATH + 8];
  int file;   /* -1: closed */
  int reason; /* errno of the first failure; 0: none */
  size_t used;
  char buffer[WHOLE_BUFFER];
} WholeFile;

/* Errors begin with the path; where one is returned, nothing is left at PART. */
bool whole_begin(WholeFile *whole, const char *path, Error *error);
/* What fails here is told by whole_sync. */
void whole_write(WholeFile *whole, const void *data, size_t bytes);
/* All of it is on the disk, by the name PART, where it may be looked at. */
bool whole_sync(WholeFile *whole, Error *error);
/* Gives it its name, for good when this returns. previous: the name by which what was there is
 * kept; NULL: it is replaced. At any moment a whole file has one of the two names. */
bool whole_end(WholeFile *whole, const char *previous, Error *error);
/* Instead of whole_sync or whole_end: removes it. */
void whole_drop(WholeFile *whole);

/* All of it at once. */
bool whole_text(const char *path, const char *text, Error *error);
/* Renames for good; else errno says why, too. */
bool whole_rename(const char *from, const char *to, Error *error);
/* A file that was written under another name beside PATH by something else, and is closed: it is
 * brought to the disk and gets its name, for good; where that fails it is removed. */
bool whole_place(const char *written, const char *path, Error *error);

#endif
