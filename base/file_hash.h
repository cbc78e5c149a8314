/* What a file holds, whatever it is called: the xxh3-128 of its bytes. */
#ifndef BASE_FILE_HASH_H
#define BASE_FILE_HASH_H

#include "base/error.h"

enum { FILE_HASH_BYTES = 33 }; /* 32 hexadecimal digits and the end */

bool file_hash(const char *path, char hex[FILE_HASH_BYTES], Error *error);

#endif
