#include "base/interrupt.h"
#include "base/clock.h"

static const double ONE_WISH_S = 1;

int interrupt_hear(Interrupt *interrupt) {
  double now = seconds_now();
  if (interrupt->wishes == 0) interrupt->first = now;
  if (interrupt->wishes == 0 || now - interrupt->first > ONE_WISH_S) interrupt->wishes++;
  return interrupt->wishes;
}
