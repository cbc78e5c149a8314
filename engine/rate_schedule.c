#include "engine/rate_schedule.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const double PI = 3.14159265358979323846;

static double poly(const RateSchedule *s, double lr, int64_t t, int64_t T) {
  (void)s;
  return lr * pow(1 - (double)t / (double)T, 0.9);
}

static double cosine(const RateSchedule *s, double lr, int64_t t, int64_t T) {
  return s->lr_min + (lr - s->lr_min) * (1 + cos(PI * (double)t / (double)T)) / 2;
}

static double step_down(const RateSchedule *s, double lr, int64_t t, int64_t T) {
  (void)T;
  return lr * pow(s->step_factor, floor((double)t / s->step_every));
}

static double constant(const RateSchedule *s, double lr, int64_t t, int64_t T) {
  (void)s;
  (void)t;
  (void)T;
  return lr;
}

static const Option step_options[] = {
    {"step_every", OPTION_INT, offsetof(RateSchedule, step_every), 1000, 1, 100000000, NULL, NULL,
     "steps between two falls of the rate"},
    {"step_factor", OPTION_FLOAT, offsetof(RateSchedule, step_factor), .5, 0, 1, NULL, NULL,
     "what is left of the rate after each"},
    {0},
};
static const Option cosine_options[] = {
    {"restarts", OPTION_INTS, offsetof(RateSchedule, restarts), 0, 1, 100000000, NULL, "",
     "steps at which the cosine begins anew, with its warm-up"},
    {"restart_percent", OPTION_INTS, offsetof(RateSchedule, restart_percent), 0, 0, 1000, NULL, "",
     "of lr, where each of these begins; missing ones: 100"},
    {0},
};
static const Option none[] = {{0}};

const RateScheduleRow rate_schedule_table[SCHEDULES] = {
    [SCHEDULE_poly] = {"poly", "falls to 0 as (1 - step / steps)^.9", none, poly},
    [SCHEDULE_cosine] = {"cosine", "falls to lr_min as half a cosine, once or with restarts",
                         cosine_options, cosine},
    [SCHEDULE_step] = {"step", "falls by a factor every so many steps", step_options, step_down},
    [SCHEDULE_constant] = {"constant", "stays", none, constant},
};

const RateScheduleRow *rate_schedule_find(const char *name) {
  for (int i = 0; i < SCHEDULES; i++)
    if (strcmp(rate_schedule_table[i].name, name) == 0) return &rate_schedule_table[i];
  return NULL;
}

/* One run of the schedule: a warm-up, and what follows until `steps`. */
static double run(const RateSchedule *s, double lr, int64_t step, int64_t steps) {
  if (step < s->warmup) return lr * (double)(step + 1) / (double)s->warmup;
  double rate = rate_schedule_table[s->id].rate(s, lr, step - s->warmup, steps - s->warmup);
  return rate > s->lr_min ? rate : s->lr_min;
}

double rate_schedule_at(const RateSchedule *s, int64_t step) {
  int runs = s->id == SCHEDULE_cosine ? s->restarts.count : 0, now = 0;
  while (now < runs && step >= s->restarts.v[now]) now++; /* that many times it began anew */
  int64_t first = now ? s->restarts.v[now - 1] : 0,
          last = now < runs ? s->restarts.v[now] : s->steps;
  int percent = now && now <= s->restart_percent.count ? s->restart_percent.v[now - 1] : 100;
  return run(s, s->lr * percent / 100, step - first, last - first);
}
