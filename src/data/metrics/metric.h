/* Dice per case and label, with every situation declared.
 *
 *   reference  prediction   status            dice
 *   present    present      "both"            2|A and B| / (|A| + |B|)
 *   present    empty        "missed"          0
 *   empty      present      "false_positive"  0
 *   empty      empty        "absent"          NaN: not counted in any mean
 *
 * score.h has the other metrics and their rules. */
#ifndef DATA_METRIC_H
#define DATA_METRIC_H

#include <stddef.h>
#include <stdint.h>

typedef enum DiceStatus { DICE_BOTH, DICE_MISSED, DICE_FALSE_POSITIVE, DICE_ABSENT } DiceStatus;

typedef struct Dice {
  DiceStatus status;
  int64_t reference, prediction, overlap; /* voxels */
  double value;
} Dice;

/* Of a structure with so many voxels in either map. */
DiceStatus dice_status(int64_t reference, int64_t prediction);
const char *dice_status_name(DiceStatus status);
/* dice (labels), background included at 0; values >= labels in either map are not scored. */
void dice_count(const uint8_t *prediction, const uint8_t *reference, size_t voxels, int labels,
                Dice *dice);
/* Mean over labels 1..labels-1 that are not absent; NaN when all are. `counted` (may be NULL): of
 * how many. */
double dice_mean(const Dice *dice, int labels, int *counted);

#endif
