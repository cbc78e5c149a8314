#include "src/data/phantom/canvas.h"

#include <math.h>
#include <string.h>

double canvas_unit(const Canvas *c) {
  return c->height < c->width ? c->height : c->width;
}

static size_t pixels(const Canvas *c) {
  return (size_t)c->height * (size_t)c->width;
}

void canvas_clear(Canvas *c) {
  memset(c->cover, 0, pixels(c) * sizeof *c->cover);
}

/* From the first index that is near enough to `size` at the most. */
static void reach(double at, double radius, int size, int *first, int *past) {
  double low = floor(at - radius), high = ceil(at + radius) + 1;
  *first = low < 0 ? 0 : low > size ? size : (int)low;
  *past = high > size ? size : high < 0 ? 0 : (int)high;
}

void canvas_disc(Canvas *c, double y, double x, double radius) {
  int top, bottom, left, right;
  reach(y, radius + 1, c->height, &top, &bottom);
  reach(x, radius + 1, c->width, &left, &right);
  for (int h = top; h < bottom; h++)
    for (int w = left; w < right; w++) {
      double share = radius + 0.5 - hypot(h - y, w - x);
      float *cover = &c->cover[h * c->width + w];
      if (share > *cover) *cover = (float)fmin(share, 1);
    }
}

void canvas_line(Canvas *c, double at[2], double *angle, double bend, int length,
                 const double radius[2]) {
  for (int i = 0; i < length; i++) {
    canvas_disc(c, at[0], at[1], radius[0] + (radius[1] - radius[0]) * i / length);
    at[0] += sin(*angle), at[1] += cos(*angle);
    *angle += bend;
  }
}

void canvas_mix(Canvas *c, const double colour[3], double strength) {
  for (size_t i = 0; i < pixels(c); i++)
    for (int k = 0; k < 3; k++) {
      double share = strength * c->cover[i];
      float *value = &c->colour[3 * i + (size_t)k];
      *value = (float)((1 - share) * *value + share * colour[k]);
    }
}

void canvas_glow(Canvas *c, double y, double x, double spread, const double level[3]) {
  int top, bottom, left, right;
  reach(y, 4 * spread, c->height, &top, &bottom);
  reach(x, 4 * spread, c->width, &left, &right);
  for (int h = top; h < bottom; h++)
    for (int w = left; w < right; w++) {
      double d = hypot(h - y, w - x) / spread, share = exp(-d * d / 2);
      for (int k = 0; k < 3; k++)
        c->colour[3 * (h * c->width + w) + k] += (float)(share * level[k]);
    }
}

void canvas_expose(Canvas *c, double plain, double poisson, Rng *rng) {
  for (size_t i = 0; i < 3 * pixels(c); i++) {
    double value = fmax(c->colour[i], 0);
    value += sqrt(plain * plain + poisson * value) * rng_normal(rng);
    c->colour[i] = (float)rint(fmin(fmax(value, 0), 255));
  }
}
