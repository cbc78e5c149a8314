#include "src/data/metrics/metric.h"

#include <math.h>

const char *dice_status_name(DiceStatus status) {
  static const char *const name[] = {"both", "missed", "false_positive", "absent"};
  return name[status];
}

DiceStatus dice_status(int64_t reference, int64_t prediction) {
  if (reference) return prediction ? DICE_BOTH : DICE_MISSED;
  return prediction ? DICE_FALSE_POSITIVE : DICE_ABSENT;
}

void dice_count(const uint8_t *prediction, const uint8_t *reference, size_t voxels, int labels,
                Dice *dice) {
  int64_t in_prediction[256] = {0}, in_reference[256] = {0}, in_both[256] = {0};
  for (size_t i = 0; i < voxels; i++) {
    in_prediction[prediction[i]]++;
    in_reference[reference[i]]++;
    in_both[reference[i]] += prediction[i] == reference[i];
  }
  for (int label = 0; label < labels; label++) {
    int64_t a = in_reference[label], b = in_prediction[label];
    dice[label] = (Dice){.status = dice_status(a, b),
                         .reference = a,
                         .prediction = b,
                         .overlap = in_both[label],
                         .value = a + b ? 2.0 * (double)in_both[label] / (double)(a + b) : NAN};
  }
}

double dice_mean(const Dice *dice, int labels, int *counted) {
  double sum = 0;
  int count = 0;
  for (int label = 1; label < labels; label++) {
    if (dice[label].status == DICE_ABSENT) continue;
    sum += dice[label].value;
    count++;
  }
  if (counted) *counted = count;
  return count ? sum / count : NAN;
}
