/* A file that is to be at a second place: the same one under two names where the file system has
 * such links, else a copy. What is there is whole at any moment, the old one or the new one. */
#ifndef CLI_PLACE_FILE_H
#define CLI_PLACE_FILE_H

#include <stdbool.h>

/* errno says why not; what was at `to` is still there then. */
bool place_file(const char *from, const char *to);

#endif
