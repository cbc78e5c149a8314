/* A deterministic abdomen: up to 15 organs with AMOS's names, left and right twins, published
 * Hounsfield values, noise and partial volume, written as an nnU-Net v2 folder. */
#ifndef DATA_PHANTOM_H
#define DATA_PHANTOM_H

#include "src/data/volumes/volume.h"

enum { PHANTOM_ORGANS = 15, PHANTOM_ANATOMIES = 2 };

typedef struct PhantomOptions {
  int size[3];     /* D, H, W; the field of view is fixed, so the spacing follows */
  int cases;       /* with validation */
  int validation;  /* the last so many: validation set of fold 0 */
  int organs;      /* labelled and drawn: the largest so many, renumbered in AMOS order */
  int anatomy;     /* 1: the first, 2: small organs large, clear and inside enough to be learnt */
  double noise_hu; /* standard deviation */
  uint64_t seed;   /* case i depends on (seed, i) and the options alone */
} PhantomOptions;

PhantomOptions
phantom_defaults(void); /* 48^3, 30 cases, 6 of them validation, 15 organs, anatomy 1, 15 HU */

/* Makes `dir`; does nothing when it holds a phantom of the same options already; an error when it
 * holds anything else. Built beside it and renamed: a killed run leaves no half a data set. */
bool phantom_make(const PhantomOptions *options, const char *dir, Error *error);
/* Whether trials call a data set so that is made here: "phantom", "phantom2d", "scenes". */
bool phantom_named(const char *dataset);
/* One case in memory; image and label are allocated. */
bool phantom_case(const PhantomOptions *options, int index, Image *image, LabelMap *label,
                  Error *error);
/* Typical volume of AMOS organ 1..15 in an anatomy, which decides who is dropped first. */
double phantom_ml(int anatomy, int organ);
/* Names of the labels 0..organs, label 0 being "background". */
void phantom_labels(const PhantomOptions *options, const char *name[PHANTOM_ORGANS + 1]);

#endif
