#include "src/data/phantom/scenes_draw.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "src/data/phantom/canvas.h"

enum { CORNERS_MOST = 7, WAVES = 5, LEAST_OBJECTS = 5 };

/* ---- what fills a shape ---------------------------------------------------------------------- */

/* colour + slope . (y, x) + a wave, which has another strength in each colour. (y, x) are shares of
 * the picture from its middle. */
typedef struct Paint {
  double colour[3], slope[3][2], wave[3], turns[2], phase;
} Paint;

static Paint paint_draw(Rng *rng) {
  Paint paint = {.turns = {rng_between(rng, -9, 9), rng_between(rng, -9, 9)},
                 .phase = rng_between(rng, 0, 2 * M_PI)};
  double steep = rng_between(rng, 0, 60), strong = rng_between(rng, -20, 30);
  for (int k = 0; k < 3; k++) {
    paint.colour[k] = rng_between(rng, 20, 235);
    for (int axis = 0; axis < 2; axis++) paint.slope[k][axis] = steep * rng_between(rng, -1, 1);
    paint.wave[k] = fmax(strong, 0) * rng_between(rng, .3, 1);
  }
  return paint;
}

static void paint_put(const Paint *p, double y, double x, float colour[3]) {
  double wave = sin(2 * M_PI * (p->turns[0] * y + p->turns[1] * x) + p->phase);
  for (int k = 0; k < 3; k++)
    colour[k] = (float)(p->colour[k] + p->slope[k][0] * y + p->slope[k][1] * x + p->wave[k] * wave);
}

/* ---- shapes: (y, x) is inside where the function is above 0 ---------------------------------- */

typedef struct Shape {
  double at[2], radius, squeeze, turn;
  int corners; /* of a polygon */
  double angle[CORNERS_MOST + 1], far[CORNERS_MOST + 1];
  double turns[WAVES][2], phase[WAVES]; /* of noise */
} Shape;

/* In the shape's own frame, its radius being 1. */
static void shape_frame(const Shape *s, double y, double x, double own[2]) {
  double dy = (y - s->at[0]) / s->radius, dx = (x - s->at[1]) / s->radius;
  own[0] = (cos(s->turn) * dy - sin(s->turn) * dx) / s->squeeze;
  own[1] = sin(s->turn) * dy + cos(s->turn) * dx;
}

static double ellipse_inside(const Shape *s, const double own[2]) {
  (void)s;
  return 1 - hypot(own[0], own[1]);
}

/* Corners at rising angles around the middle; between two of them the straight line. */
static double polygon_inside(const Shape *s, const double own[2]) {
  double angle = atan2(own[0], own[1]), distance = hypot(own[0], own[1]);
  if (angle < s->angle[0]) angle += 2 * M_PI;
  if (angle >= s->angle[s->corners]) angle -= 2 * M_PI;
  int i = 0;
  while (i < s->corners - 1 && angle >= s->angle[i + 1]) i++;
  double a = s->far[i], b = s->far[i + 1], wide = s->angle[i + 1] - s->angle[i];
  double along = angle - s->angle[i];
  double border = a * b * sin(wide) / (a * sin(along) + b * sin(wide - along));
  return border - distance;
}

/* Smooth noise above a threshold that rises from the middle outwards. */
static double noise_inside(const Shape *s, const double own[2]) {
  double sum = 0;
  for (int i = 0; i < WAVES; i++)
    sum += cos(s->turns[i][0] * own[0] + s->turns[i][1] * own[1] + s->phase[i]);
  return sum / WAVES + 1 - 1.6 * hypot(own[0], own[1]);
}

static double (*const inside[])(const Shape *, const double[2]) = {ellipse_inside, polygon_inside,
                                                                   noise_inside};
enum { SHAPES = sizeof inside / sizeof *inside };

static void corners_draw(Shape *s, Rng *rng) {
  s->corners = 3 + (int)rng_below(rng, CORNERS_MOST - 2);
  double step = 2 * M_PI / s->corners; /* each within a third of its place: below half a turn */
  for (int i = 0; i < s->corners; i++) {
    s->angle[i] = -M_PI + step * (i + rng_between(rng, -.15, .15));
    s->far[i] = rng_between(rng, .7, 1.2);
  }
  s->angle[s->corners] = s->angle[0] + 2 * M_PI;
  s->far[s->corners] = s->far[0];
}

static Shape shape_draw(int height, int width, Rng *rng) {
  double unit = height < width ? height : width;
  Shape shape = {.at = {rng_between(rng, 0, height), rng_between(rng, 0, width)},
                 .radius = unit * rng_between(rng, .08, .3),
                 .squeeze = rng_between(rng, .45, 1),
                 .turn = rng_between(rng, 0, M_PI)};
  corners_draw(&shape, rng);
  for (int i = 0; i < WAVES; i++) {
    for (int axis = 0; axis < 2; axis++) shape.turns[i][axis] = rng_between(rng, -4, 4);
    shape.phase[i] = rng_between(rng, 0, 2 * M_PI);
  }
  return shape;
}

/* ---- the scene ------------------------------------------------------------------------------- */

/* Of each pixel and its neighbours, as strongly as told. */
static void blur(int height, int width, double strength, float *colour) {
  float *kept = malloc(sizeof *kept * 3 * (size_t)height * (size_t)width);
  CHECK(kept, "no memory for a picture");
  memcpy(kept, colour, sizeof *kept * 3 * (size_t)height * (size_t)width);
  for (int h = 0; h < height; h++)
    for (int w = 0; w < width; w++)
      for (int k = 0; k < 3; k++) {
        double sum = 0;
        int count = 0;
        for (int y = h - 1; y <= h + 1; y++)
          for (int x = w - 1; x <= w + 1; x++) {
            if (y < 0 || x < 0 || y >= height || x >= width) continue;
            sum += kept[3 * (y * width + x) + k];
            count++;
          }
        float *value = &colour[3 * (h * width + w) + k];
        *value = (float)((1 - strength) * *value + strength * sum / count);
      }
  free(kept);
}

static void put(int height, int width, const Shape *shape, int kind, const Paint *paint,
                uint8_t number, float *colour, uint8_t *object) {
  for (int h = 0; h < height; h++)
    for (int w = 0; w < width; w++) {
      double own[2];
      if (shape) shape_frame(shape, h + .5, w + .5, own);
      if (shape && inside[kind](shape, own) <= 0) continue;
      paint_put(paint, (h + .5) / height - .5, (w + .5) / width - .5, &colour[3 * (h * width + w)]);
      object[h * width + w] = number;
    }
}

int scene_draw(int height, int width, Rng *rng, float *colour, uint8_t *object) {
  Paint paint = paint_draw(rng);
  put(height, width, NULL, 0, &paint, 0, colour, object);
  int count = LEAST_OBJECTS + (int)rng_below(rng, SCENE_OBJECTS - LEAST_OBJECTS + 1);
  for (int i = 1; i <= count; i++) {
    Shape shape = shape_draw(height, width, rng);
    int kind = (int)rng_below(rng, SHAPES);
    paint = paint_draw(rng);
    put(height, width, &shape, kind, &paint, (uint8_t)i, colour, object);
  }
  blur(height, width, rng_between(rng, 0, 1), colour);
  Canvas canvas = {.height = height, .width = width, .colour = colour};
  canvas_expose(&canvas, rng_between(rng, 2, 14), 0, rng);
  return count;
}
