/* Deterministic 2D pictures in colour with their labels, of three kinds that ask for different
 * things: one blob of unclear border, many small bodies that touch, thin lines. Written as an
 * nnU-Net v2 folder: a file with three channels a case.
 *
 * There are two variants. The first stays as it is, to the bit, for the trials stored of it. The
 * second is as hard as tells networks apart: weaker contrast, more noise, and what looks alike but
 * is not labelled (moles beside a lesion, bodies out of focus, exudates); and its nuclei are
 * numbered, in instancesTr (metrics/instances.h). */
#ifndef DATA_PHANTOM2D_H
#define DATA_PHANTOM2D_H

#include "src/data/volumes/volume.h"

typedef enum Phantom2dKind {
  PHANTOM2D_LESION,
  PHANTOM2D_NUCLEI,
  PHANTOM2D_VESSELS,
  PHANTOM2D_KINDS
} Phantom2dKind;
extern const char *const phantom2d_kinds[PHANTOM2D_KINDS]; /* "lesion", "nuclei", "vessels" */

enum { PHANTOM2D_COLOURS = 3, PHANTOM2D_VARIANTS = 2 };

typedef struct Phantom2dOptions {
  Phantom2dKind kind;
  int variant;    /* 1 or 2 */
  int size[2];    /* H, W */
  int cases;      /* with validation */
  int validation; /* the last so many: validation set of fold 0 */
  uint64_t seed;  /* case i depends on (seed, i) and the options alone */
} Phantom2dOptions;

Phantom2dOptions phantom2d_defaults(void); /* lesion, variant 1, 128x128, 200 cases, 60 validate */
bool phantom2d_parse(const char *name, Phantom2dKind *kind, Error *error);
/* As phantom_make. */
bool phantom2d_make(const Phantom2dOptions *options, const char *dir, Error *error);
/* One case in memory: (1,H,W,3), whole values from 0 to 255, and labels 0 and 1. numbers: of
 * nuclei, from 1 (1,H,W,1); NULL: not wanted. */
bool phantom2d_case(const Phantom2dOptions *options, int index, Image *image, LabelMap *label,
                    Image *numbers, Error *error);

#endif
