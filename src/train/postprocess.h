/* Largest-component post-processing as nnU-Net v2 chooses it: on the validation cases, first for
 * all foreground together, kept when the mean Dice gains and no label's mean loses; then for each
 * label by itself, kept when its mean Dice gains. What was chosen lies beside the trial's weights,
 * in CHECKPOINT.postprocess.json. */
#ifndef TRAIN_POSTPROCESS_H
#define TRAIN_POSTPROCESS_H

#include "src/data/metrics/score.h"
#include "src/data/sets/dataset.h"

typedef struct Postprocess {
  bool foreground;                /* the largest component of all labels together */
  bool label[DATASET_LABELS_MAX]; /* then of each of these */
} Postprocess;

/* Dice per label, summed over cases, in each of the four ways: as predicted, the foreground's
 * largest component, each label's, the foreground's and then each label's. A label's component
 * changes its own Dice only, so one pass over each case decides for all labels and no map is
 * kept. */
enum { POSTPROCESS_WAYS = 4 };
typedef struct PostprocessTally {
  double sum[POSTPROCESS_WAYS][DATASET_LABELS_MAX];
  int counted[POSTPROCESS_WAYS][DATASET_LABELS_MAX]; /* cases in which the label is not absent */
} PostprocessTally;

/* score: of the prediction as it is; predicted, truth (grid). Of regions only the foreground's ways
 * are counted: what is taken from one is taken from others too. */
bool postprocess_add(PostprocessTally *tally, const Score *score, const uint8_t *predicted,
                     const uint8_t *truth, const Grid *grid, const Labelling *labelling,
                     Error *error);
/* labels: structures with background; before, after: mean Dice over them of the mean over cases. */
Postprocess postprocess_choose(const PostprocessTally *tally, int labels, double *before,
                               double *after);
bool postprocess_apply(const Postprocess *chosen, uint8_t *map, const int dim[3], Error *error);

bool postprocess_write(const Postprocess *chosen, double before, double after,
                       const char *checkpoint, Error *error);
/* No file: nothing chosen. Errors: a file that is damaged. */
bool postprocess_read(Postprocess *chosen, const char *checkpoint, Error *error);
/* "all foreground, 3 liver" or "nothing". */
void postprocess_text(const Postprocess *chosen, char *text, size_t bytes);

#endif
