#include "src/train/best_weights.h"
#include "base/whole_file.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static bool is_on(const BestWeights *best) {
  return best->sampler && best->checkpoint;
}

void best_weights_begin(BestWeights *best, int64_t first) {
  char path[WHOLE_PATH], text[32];
  best->dice = NAN;
  if (!is_on(best)) return;
  checkpoint_best(best->checkpoint, path);
  if (first && checkpoint_metadata(path, "dice", text, sizeof text))
    best->dice = strtod(text, NULL);
  else
    checkpoint_remove(path);
}

bool best_weights_look(BestWeights *best, PatchDice *patches, int64_t step, Error *error) {
  char path[WHOLE_PATH], dice_text[32], step_text[32];
  double dice;
  if (!is_on(best)) return true;
  if (!patch_dice(patches, best->sampler, 0, best->batches, true, &dice, error)) return false;
  if (isnan(dice) || dice <= best->dice) return true;
  snprintf(dice_text, sizeof dice_text, "%.17g", dice);
  snprintf(step_text, sizeof step_text, "%lld", (long long)step + 1);
  const char *const metadata[] = {"step", step_text, "dice", dice_text, NULL};
  checkpoint_best(best->checkpoint, path);
  best->dice = dice;
  return params_save(patches->graph->params, true, metadata, path, error);
}

bool best_weights_take(const BestWeights *best, Params *params, Error *error) {
  char path[WHOLE_PATH], step[32] = "";
  if (!is_on(best) || isnan(best->dice)) return true;
  checkpoint_best(best->checkpoint, path);
  if (!params_load(params, true, path, error)) return false;
  checkpoint_metadata(path, "step", step, sizeof step);
  fprintf(stderr, "keeps the weights of step %s: Dice %.4f on the training cases held out\n", step,
          best->dice);
  return true;
}

void best_weights_end(const BestWeights *best) {
  char path[WHOLE_PATH];
  if (!is_on(best)) return;
  checkpoint_best(best->checkpoint, path);
  checkpoint_remove(path);
}
