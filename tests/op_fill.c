#include "tests/op_fill.h"
#include "base/rng.h"

#include <math.h>

static void fill_matching(Tensor *tensor, int classes, Rng *rng) {
  int64_t queries = tensor_last(tensor);
  for (int64_t row = 0; row < tensor_rows(tensor); row++) {
    for (int64_t q = 0; q < queries; q++) element_set(tensor, row * queries + q, -1);
    for (int c = 0; c < classes && c < queries; c++) {
      int64_t q = rng_below(rng, (uint32_t)queries);
      while (element(tensor, row * queries + q) >= 0) q = (q + 1) % queries;
      if (rng_below(rng, 4)) element_set(tensor, row * queries + q, c);
    }
  }
}

/* To 8 bits, the nearest. */
static double rounded(double x) {
  int exponent;
  double share = frexp(x, &exponent);
  return ldexp(nearbyint(ldexp(share, 8)), exponent - 8);
}

static double fill_draw(const CaseInput *input, int64_t i, Rng *rng) {
  if (input->fill == FILL_LABELS) return rng_below(rng, (uint32_t)input->bound);
  if (input->fill == FILL_KNOWN)
    return rng_below(rng, 5) && input->bound > 0 ? (double)rng_below(rng, (uint32_t)input->bound)
                                                 : -1;
  if (input->fill == FILL_POSITIVE) return (float)rng_between(rng, .5, 1.5);
  if (input->fill == FILL_ROUNDED) return rounded(rng_normal(rng));
  if (input->fill == FILL_BOXES)
    return (float)(i % 4 < 2 ? rng_between(rng, 0, .5) : rng_between(rng, .6, 1));
  return (float)(rng_normal(rng) * (input->fill == FILL_GRID ? input->bound : 1));
}

/* The same values whatever the type: real ones are rounded to float. */
static void fill_input(Tensor *tensor, const CaseInput *input, uint64_t item) {
  Rng rng = rng_make(1, RNG_TEST, item);
  if (input->fill == FILL_MATCHING) {
    fill_matching(tensor, (int)input->bound, &rng);
    return;
  }
  for (int64_t i = 0; i < tensor_count(tensor); i++)
    element_set(tensor, i, fill_draw(input, i, &rng));
}

void op_fill(OpRun *run, const OpCase *c) {
  static const CaseInput gradient = {.fill = FILL_NORMAL};
  for (int i = 0; i < run->call.n_in; i++) fill_input(&run->in[i], &c->in[i], (uint64_t)i);
  for (int i = 0; i < run->call.n_out; i++)
    if (run->dout[i].data) fill_input(&run->dout[i], &gradient, 100 + (uint64_t)i);
}

void op_fill_shapes(const OpCase *c, DType real, Tensor in[MAX_IN]) {
  for (int i = 0; i < c->n_in; i++) {
    in[i] = tensor_make(fill_is_whole(c->in[i].fill) ? I32 : real, c->in[i].rank, c->in[i].dim);
  }
}

static void copy(Tensor *to, const Tensor *from) {
  for (int64_t i = 0; to->data && i < tensor_count(to); i++) element_set(to, i, element(from, i));
}

void op_fill_from(OpRun *run, const OpRun *other) {
  for (int i = 0; i < run->call.n_in; i++) copy(&run->in[i], &other->in[i]);
  for (int i = 0; i < run->call.n_out; i++)
    if (run->dout[i].data) copy(&run->dout[i], &other->dout[i]);
}
