/* Masks as data sets of pictures are distributed -> label maps, which hold the numbers of labels.
 * What is bright, or has a colour, is the structure. */
#ifndef DATA_IMPORT_MASKS_H
#define DATA_IMPORT_MASKS_H

#include "src/data/sets/import.h"

/* The entry's masks as one label map on the grid of its picture. instances (1 channel): which of
 * the masks is seen at a pixel, from 1; 0: none; NULL: not wanted. Errors: a mask that cannot be
 * read or is of another size. On failure nothing is owned. */
bool masks_label(const ImportEntry *entry, LabelMap *label, Image *instances, Error *error);

/* Entries whose pictures are the same files, byte by byte: how many, and two of them, -1 without.
 * Errors: a picture that cannot be read. */
bool import_twins(const Import *import, int *twins, int pair[2], Error *error);

#endif
