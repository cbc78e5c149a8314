/* Synthetic scenes in colour with prompts, on which a small promptable network is pre-trained as
 * SAM was: no organs, no depth, no intensities of CT. A case is a stack of scenes that have nothing
 * to do with each other, a slice each. Written as an nnU-Net v2 folder with one file a case.
 *
 * A scene has 5 to 12 objects, one in front of another, and the ground that they lie on. Four of
 * all these are asked for: two by a box, one by a box and a mask, one by a mask alone (its box is
 * there, too). Which is which is chance. */
#ifndef DATA_SCENES_H
#define DATA_SCENES_H

#include "src/data/volumes/volume.h"

/* Channels: red, green, blue (0..255); of each target a box (1 inside, -1 outside) whose edges are
 * up to 10 % of its size off; of the last two targets a mask (4 inside, -4 outside), grown or
 * shrunk by a pixel or as it is. */
enum {
  SCENES_COLOURS = 3,
  SCENES_TARGETS = 4,
  SCENES_MASKED = 2,
  SCENES_CHANNELS = SCENES_COLOURS + SCENES_TARGETS + SCENES_MASKED
};

typedef struct ScenesOptions {
  int size[3];    /* scenes a case, H, W */
  int cases;      /* with validation */
  int validation; /* the last so many: validation set of fold 0 */
  uint64_t seed;  /* case i depends on (seed, i) and the options alone */
} ScenesOptions;

/* As phantom_make. */
bool scenes_make(const ScenesOptions *options, const char *dir, Error *error);
/* One case in memory; labels: the visible part of target 1..4, else 0. */
bool scenes_case(const ScenesOptions *options, int index, Image *image, LabelMap *label,
                 Error *error);

#endif
