/* Which files an entry of a list in dataset.json means. Private to src/data. */
#ifndef DATA_CASE_FILES_H
#define DATA_CASE_FILES_H

#include "src/data/sets/problems.h"

#include <jansson.h>

/* A listed path as it is meant: an absolute one as it is, any other from `dir`. To be freed. */
char *listed_path(const char *dir, const char *text);
/* Fills item->image. The entry names a file with all channels, a file of each channel (a list), the
 * first channel's file (NAME_0000), or, as nnU-Net v1 has it, NAME where the files are NAME_0000,
 * NAME_0001 ... False: it is none of these forms. Whether the files are there is not asked. */
bool listed_images(Case *item, const char *dir, const json_t *image, int channels);
/* The label's path as listed, by itself or as a list of one; NULL: neither. */
const char *listed_label(const json_t *label);
/* The name of a case by its label's or image's path: the file's without folder and ending. */
char *case_name(const char *path);
/* Whether all its files can be read, and the label is not the image; else these are problems. */
bool case_whole(const Case *item, Problems *problems);
/* Two cases of one image would stand on both sides of a split. */
void cases_apart(const Dataset *dataset, Problems *problems);
void case_free(Case *item);

#endif
