/* Data sets as they are distributed -> an nnU-Net v2 raw folder (imagesTr/NAME_0000.nii.gz,
 * labelsTr/NAME.nii.gz, imagesTs, dataset.json). Files are linked, not converted, and the source is
 * never written to; several channels in one file (MSD) are written as one file each, but for a
 * picture's colours. */
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
} ImportOptions;

typedef struct ImportEntry {
  Case item; /* paths in the source; label NULL: a test image */
  bool validation;
} ImportEntry;

/* What is to be imported; filled by a layout's reader. */
typedef struct Import {
  Dataset about; /* labels and channels; no cases */
  ImportEntry *entry;
  int entries;
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
  ImportHow how;                  /* the last resort that was needed */
} ImportOutcome;

/* Makes the folder; dataset.json comes last, so a call that was interrupted can be repeated.
 * Errors: whatever dataset_sound says of the cases (before anything is made), the target holds a
 * dataset already or lies in the source, files missing in the source, no space. */
bool import_write(const Import *import, const ImportOptions *options, ImportOutcome *outcome,
                  Error *error);

/* Takes ownership of the case. For the readers of layouts. */
void import_add(Import *import, Case item, bool validation);

#endif
