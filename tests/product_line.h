/* A product and its algorithm as a line of a table: test_plans' and test_sampled's. */
#ifndef TESTS_PRODUCT_LINE_H
#define TESTS_PRODUCT_LINE_H

#include "kernels/cuda/choice.h"

#include <stdio.h>

static inline void product_line(const ProductChoice *c, const char *start) {
  printf("%s %-4s %lld x %lld x %lld%s%s, %d time%s, to %s%s%s%s: ", start,
         c->in == BF16 ? "bf16"
         : c->tf32     ? "tf32"
                       : "f32",
         (long long)c->m, (long long)c->k, (long long)c->n, c->turn_a ? ", A turned" : "",
         c->turn_b ? ", B turned" : "", c->batch, c->batch == 1 ? "" : "s",
         c->out == BF16 ? "bf16" : "f32", c->bias ? " +bias" : "", c->relu ? " relu" : "",
         c->adds ? " added" : "");
  if (!c->asked) {
    printf("chosen on the GPU, at most %.0f MiB\n", (double)c->workspace / 0x1p20);
    return;
  }
  printf("algorithm %d tile %d stages %d splits %d of %d%s, %.1f MiB, %.3f ms\n", c->algorithm,
         c->tile, c->stages, c->splits, c->suggested, c->bias && !c->fused ? ", bias apart" : "",
         (double)c->workspace / 0x1p20, 1e3 * c->seconds);
}

#endif
