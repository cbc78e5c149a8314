/* How the learning rate goes. Steps count from 0: rate_schedule_at(s, 0) is what the first step of
 * a training moves by, as torch.optim.lr_scheduler.LambdaLR's factor of epoch 0. The first `warmup`
 * steps rise in a line, (step + 1) / warmup of lr, so that none is lost; what follows counts from
 * their end, t = step - warmup, over T = steps - warmup:
 *
 *   poly      lr (1 - t / T)^.9 (MaskMed eq. 7, nnU-Net)
 *   cosine    lr_min + (lr - lr_min) (1 + cos(pi t / T)) / 2 (CosineAnnealingLR); at each of
 *             `restarts` it begins anew and lasts to the next or the end, each with a warm-up of
 *             its own (without one: CosineAnnealingWarmRestarts), from restart_percent of lr
 *   step      lr step_factor^floor(t / step_every) (StepLR)
 *   constant  lr
 *
 * After the warm-up none falls below lr_min. A group's factor multiplies the rate, lr_min too. */
#ifndef ENGINE_RATE_SCHEDULE_H
#define ENGINE_RATE_SCHEDULE_H

#include "kernels/op.h"

typedef enum RateScheduleId {
#define SCHEDULE(name) SCHEDULE_##name,
#include "engine/rate_schedules.def"
#undef SCHEDULE
  SCHEDULES
} RateScheduleId;

/* A schedule with its options. */
typedef struct RateSchedule {
  RateScheduleId id;
  double lr, lr_min;
  int64_t steps, warmup;
  double step_factor; /* step */
  int step_every;
  Ints restarts;        /* cosine: steps, ascending */
  Ints restart_percent; /* of lr, of each; missing ones: 100 */
} RateSchedule;

typedef struct RateScheduleRow {
  const char *name, *doc;
  const Option *options; /* its own, fields of RateSchedule */
  /* The rate t steps after a warm-up that ends T steps before the end. */
  double (*rate)(const RateSchedule *schedule, double lr, int64_t t, int64_t T);
} RateScheduleRow;

extern const RateScheduleRow rate_schedule_table[SCHEDULES];
const RateScheduleRow *rate_schedule_find(const char *name); /* NULL when there is none */

double rate_schedule_at(const RateSchedule *schedule, int64_t step);

#endif
