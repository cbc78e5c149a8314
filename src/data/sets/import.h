/* Data sets as they are distributed -> an nnU-Net v2 raw folder (imagesTr/NAME_0000.nii.gz,
 * labelsTr/NAME.nii.gz, imagesTs, dataset.json). Files are linked, not converted, and the source is
 * never written to; several channels in one file (MSD) are written as one file each, but for a
 * picture's colours; masks become label maps (import_masks.h), and where each object has a mask of
 * its own instancesTr/NAME.png numbers them. */
#ifndef DATA_IMPORT_H
#define DATA_IMPORT_H

#include "src/data/sets/dataset.h"

typedef enum ImportHow { IMPORT_LINK, IMPORT_SYMLINK, IMPORT_COPY } ImportHow;
/* What becomes of AMOS22's own validation cases: among the training cases (nnU-Net's converter:
 * 200 + 100), the same with splits_final.json of one fold that validates on them, or left out. */
typedef enum ImportValidation {
  VALIDATION_FOLD_IN,
  VALIDATION_SPLIT,
  VALIDATION_LEAVE
} ImportValidation;

typedef struct ImportOptions {
  const char *source, *target;
  ImportHow how; /* hard links fall back to symbolic ones between file systems */
  ImportValidation validation;
  bool ct_only; /* AMOS22 */
  bool types;   /* NeoPolyp: polyps of two types, not of one */
} ImportOptions;

/* How a label map is made of masks; MASK_NONE: the label is one. */
typedef enum MaskRule {
  MASK_NONE,
  MASK_BRIGHT,      /* 1 where any of them is bright */
  MASK_INSTANCES,   /* the same, each mask an object */
  MASK_POLYP,       /* 1 where it is red or green */
  MASK_POLYP_TYPES, /* 1 where it is green, 2 where it is red */
  MASKS
} MaskRule;

typedef struct ImportEntry {
  Case item; /* paths in the source; label NULL: a test image */
  bool validation;
  MaskRule rule;
  char **mask; /* (masks): the label is the first */
  int masks;
  int fold; /* that it validates in; -1: it always trains */
} ImportEntry;

/* What is to be imported; filled by a layout's reader. */
typedef struct Import {
  Dataset about; /* labels and channels; no cases */
  ImportEntry *entry;
  int entries;
  int folds;        /* of splits_final.json, as the entries say; 0: by `validation` */
  const char *note; /* what one should know of this data set; NULL: nothing */
} Import;

/* Fills the import from what lies in options->source. */
typedef bool ImportRead(Import *import, const ImportOptions *options, Error *error);
typedef enum ImportLayout {
#define LAYOUT(name, what) LAYOUT_##name,
#include "src/data/sets/layouts.def"
#undef LAYOUT
  IMPORT_LAYOUTS
} ImportLayout;
extern const char *const import_names[IMPORT_LAYOUTS];
extern ImportRead *const import_read[IMPORT_LAYOUTS];
#define LAYOUT(name, what) ImportRead import_##name;
#include "src/data/sets/layouts.def"
#undef LAYOUT

/* Whatever they return. */
void import_free(Import *import);

typedef struct ImportOutcome {
  int training, validation, test; /* cases; validation: of training */
  int missing;                    /* test images that are listed but not there: left out */
  int twins;                      /* pictures that another case has too, byte by byte */
  char pair[2][64];               /* two of them */
  ImportHow how;                  /* the last resort that was needed */
} ImportOutcome;

/* Makes the folder; dataset.json comes last, so a call that was interrupted can be repeated.
 * Errors: whatever dataset_sound says of the cases (before anything is made), the target holds a
 * dataset already or lies in the source, files missing in the source, no space. */
bool import_write(const Import *import, const ImportOptions *options, ImportOutcome *outcome,
                  Error *error);

/* Takes ownership of the case; the entry is valid until the next. For the readers of layouts. */
ImportEntry *import_add(Import *import, Case item, bool validation);
/* Takes the path; the first becomes the label. */
void import_mask(ImportEntry *entry, MaskRule rule, char *path);

#endif
