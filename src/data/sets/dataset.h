/* A folder of labelled volumes with a dataset.json, in the layout of the Medical Segmentation
 * Decathlon (labels: {"1": "liver"}, training: [{image, label}]) or of nnU-Net v2 (labels:
 * {"liver": 1}, channel_names, file_ending, imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz), with
 * an ignore label and regions or without (labelling.h). */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include "src/data/sets/labelling.h"
#include "src/data/volumes/volume.h"

enum { DATASET_LABELS_MAX = LABEL_VALUES, DATASET_HASH_BYTES = 33, CHANNELS_MAX = 16 };

typedef struct Case {
  char *name;   /* file name of the label without its ending */
  char **image; /* paths: one 3D file per channel, or one file with all channels */
  int images;
  char *label; /* path */
} Case;

typedef struct Dataset {
  char *dir;
  char *name; /* of dataset.json, else of the folder */
  Labelling labelling;
  int labels;                           /* structures with background */
  char *label_name[DATASET_LABELS_MAX]; /* (labels) */
  int channels;
  char **channel_name;
  int cases;
  Case *item;     /* sorted by name */
  char *derived;  /* where what is made of it lies (derived.h); NULL: dir */
  int validation; /* "harness_validation" of dataset.json, 0: none given */
} Dataset;

/* A case in memory. */
typedef struct Volume {
  const char *name; /* the data set's */
  Image image;
  LabelMap label;
} Volume;

/* Reads dataset.json and finds every file; opens no volume. Errors: missing or empty folder, no
 * dataset.json, its syntax (line and column), labels that are not 0..N-1, an ignore label that is
 * not the highest, regions without their order, an image without label or the other way round. On
 * failure nothing is owned. */
bool dataset_open(Dataset *dataset, const char *dir, Error *error);
void dataset_free(Dataset *dataset);

/* What a picture calls each value of a label map; of regions, the one that it is painted for. The
 * texts are the data set's. */
void labels_value_names(const Dataset *dataset, char *name[LABEL_VALUES]);

/* The image of a case: its files side by side on the first one's grid, or its one file with all
 * channels. Errors: those of image_read and placed_alike, other channels; nothing is owned then. */
bool case_image(const Case *item, int channels, Image *image, Error *error);
/* Reads one case as its first image is stored; its label and other channels are turned to that
 * where they are stored otherwise (placed_alike). Errors: those of image_read, label_read and
 * placed_alike, label values that dataset.json does not name, an image of one value. */
bool dataset_read(const Dataset *dataset, int index, Volume *volume, Error *error);
/* The labels of one case alone, on its image's grid. */
bool dataset_label(const Dataset *dataset, int index, LabelMap *label, Error *error);
/* Reads the listed cases into volume[0..count-1]; on failure none is owned. */
bool dataset_load(const Dataset *dataset, const int *index, int count, Volume *volume,
                  Error *error);
void volume_free(Volume *volume, int count);

/* Whether anybody marked a structure; what is ignored is none. */
bool dataset_has_foreground(const Dataset *dataset, const LabelMap *label);
/* What is said where nothing can be learned; of the folder. */
#define DATASET_NO_FOREGROUND "%s: no case has a foreground voxel"

/* Whether every case can be trained on: all are read, several at a time, but those that are `known`
 * (cases; NULL: none) to be good. The error is the first bad case's, "case NAME: WHY", as every
 * command that meets it words it. quiet: no progress on a terminal. */
bool dataset_sound(const Dataset *dataset, const bool *known, bool quiet, Error *error);

/* 32 hexadecimal digits (xxh3-128) over names, sizes and bytes of dataset.json, splits_final.json
 * when there is one, and every file of every case: the identity of the data of a trial. It is
 * another where headers change what the files are taken for (geometry_matters). */
bool dataset_hash(const Dataset *dataset, char hex[DATASET_HASH_BYTES], Error *error);

/* Prints what is in the folder (shapes, spacing, intensities, voxels and cases of each label) and
 * everything that is wrong with it, as a table or, where its head is given, as one JSON document.
 * Returns the number of problems. */
int dataset_check(const char *dir, FILE *out, json_t *head);

#endif
