#include "src/data/phantom/phantom_shape.h"

#include <math.h>
#include <string.h>

enum { HU_FAT = -100, HU_MUSCLE = 55, HU_BONE = 320, HU_CORTEX = 600, HU_BOWEL = 35 };

static void turn_make(double turn[3][3], const double degrees[3]) {
  memset(turn, 0, 9 * sizeof(double));
  for (int i = 0; i < 3; i++) turn[i][i] = 1;
  for (int axis = 0; axis < 3; axis++) {
    int a = (axis + 1) % 3, b = (axis + 2) % 3;
    double c = cos(degrees[axis] * M_PI / 180), s = sin(degrees[axis] * M_PI / 180);
    for (int column = 0; column < 3; column++) {
      double u = turn[a][column], v = turn[b][column];
      turn[a][column] = c * u + s * v;
      turn[b][column] = c * v - s * u;
    }
  }
}

static void box_make(Shape *shape) {
  for (int axis = 0; axis < 3; axis++) {
    if (!shape->points) { /* the turned ellipsoid's, with room for bend and relief */
      double square = 0;
      for (int i = 0; i < 3; i++) square += pow(shape->turn[i][axis] * shape->semi[i], 2);
      shape->low[axis] = shape->centre[axis] - 1.35 * sqrt(square);
      shape->high[axis] = shape->centre[axis] + 1.35 * sqrt(square);
      continue;
    }
    shape->low[axis] = HUGE_VAL, shape->high[axis] = -HUGE_VAL;
    for (int i = 0; i < shape->points; i++) {
      shape->low[axis] = fmin(shape->low[axis], shape->point[i][axis] - 1.2 * shape->radius[i]);
      shape->high[axis] = fmax(shape->high[axis], shape->point[i][axis] + 1.2 * shape->radius[i]);
    }
  }
}

static Shape *add(Anatomy *anatomy, Shape shape) {
  CHECK(anatomy->shapes < SHAPES_MAX, "too many shapes");
  box_make(&shape);
  anatomy->shape[anatomy->shapes] = shape;
  return &anatomy->shape[anatomy->shapes++];
}

static Shape ellipsoid(double hu, double x, double y, double z, double rx, double ry, double rz) {
  Shape shape = {.hu = hu, .everywhere = true, .centre = {x, y, z}, .semi = {rx, ry, rz}};
  turn_make(shape.turn, (double[3]){0, 0, 0});
  return shape;
}

/* An ellipse along the whole trunk: z does not matter. */
static Shape column(double hu, double x, double y, double rx, double ry) {
  Shape shape = ellipsoid(hu, x, y, 0, rx, ry, 1e6);
  return shape;
}

/* What an organ has of its own in this case; every part of it moves and grows alike. */
typedef struct Variation {
  double shift[3], scale[3], turn[3], hu;
} Variation;

static void variations_draw(const Body *body, Variation variation[PHANTOM_ORGANS + 1], Rng *rng) {
  double contrast = rng_between(rng, 0.93, 1.07); /* timing of the scan */
  for (int organ = 1; organ <= PHANTOM_ORGANS; organ++) {
    Variation *v = &variation[organ];
    for (int axis = 0; axis < 3; axis++) {
      v->shift[axis] = rng_between(rng, -6, 6);
      v->scale[axis] = rng_between(rng, 0.88, 1.12);
      v->turn[axis] = rng_between(rng, -10, 10);
    }
    v->hu = body->hu[organ] * contrast + rng_between(rng, -4, 4);
  }
  variation[3].hu = variation[2].hu; /* of two twins only the place differs */
  variation[12].hu = variation[11].hu;
}

static void blob_add(Anatomy *anatomy, const Blob *blob, const Variation *v, Rng *rng) {
  Shape shape = {.organ = blob->organ, .hu = v->hu, .wave = 0.05};
  double degrees[3];
  for (int axis = 0; axis < 3; axis++) {
    shape.centre[axis] = blob->centre[axis] + v->shift[axis];
    shape.semi[axis] = blob->semi[axis] * v->scale[axis];
    shape.phase[axis] = rng_between(rng, 0, 2 * M_PI);
    degrees[axis] = blob->turn_degrees[axis] + v->turn[axis];
  }
  shape.bend = blob->bend * rng_between(rng, 0.7, 1.3);
  turn_make(shape.turn, degrees);
  add(anatomy, shape);
}

/* Catmull-Rom through the knots, each moved a little on its own. */
static void pipe_add(Anatomy *anatomy, const Pipe *pipe, const Variation *v, Rng *rng) {
  Shape shape = {.organ = pipe->organ, .hu = v->hu};
  double knot[6][4];
  double girth = 0.5 * (v->scale[0] + v->scale[1]);
  for (int i = 0; i < pipe->knots; i++) {
    for (int axis = 0; axis < 3; axis++)
      knot[i][axis] = pipe->knot[i][axis] + v->shift[axis] + rng_between(rng, -3, 3);
    knot[i][3] = pipe->knot[i][3] * girth * rng_between(rng, 0.95, 1.05);
  }
  int steps = (TUBE_POINTS - 1) / (pipe->knots - 1);
  for (int i = 0; i + 1 < pipe->knots; i++) {
    const double *p1 = knot[i], *p2 = knot[i + 1];
    const double *p0 = i ? knot[i - 1] : p1, *p3 = i + 2 < pipe->knots ? knot[i + 2] : p2;
    bool last = i + 2 == pipe->knots;
    for (int s = 0; s < steps + last; s++) {
      double t = (double)s / steps, value[4];
      for (int k = 0; k < 4; k++)
        value[k] = 0.5 * (2 * p1[k] + (p2[k] - p0[k]) * t +
                          (2 * p0[k] - 5 * p1[k] + 4 * p2[k] - p3[k]) * t * t +
                          (3 * p1[k] - p0[k] - 3 * p2[k] + p3[k]) * t * t * t);
      memcpy(shape.point[shape.points], value, 3 * sizeof(double));
      shape.radius[shape.points++] = value[3];
    }
  }
  add(anatomy, shape);
}

/* Skin, fat, muscle wall, spine, psoas, pelvis: drawn, never labelled. */
static void trunk_add(Anatomy *anatomy, Rng *rng) {
  double wide = rng_between(rng, 0.94, 1.03), deep = rng_between(rng, 0.94, 1.03);
  double fat = rng_between(rng, 0.84, 0.92), wall = fat - 0.08;
  double rx = 148 * wide, ry = 108 * deep;
  add(anatomy, column(HU_FAT, 0, 0, rx, ry));
  add(anatomy, column(HU_MUSCLE, 0, 0, rx * fat, ry * fat));
  anatomy->cavity = anatomy->shapes;
  add(anatomy, column(HU_FAT, 0, 0, rx * wall, ry * wall));
  for (int side = -1; side <= 1; side += 2) {
    add(anatomy, column(HU_MUSCLE, 32 * side, -78, 26, 20));
    add(anatomy, ellipsoid(HU_MUSCLE, 42 * side, -48, -60, 17, 17, 80));
    Shape *hip = add(anatomy, ellipsoid(HU_CORTEX, 84 * side, -22, -118, 13, 42, 46));
    turn_make(hip->turn, (double[3]){0, 0, 20.0 * side});
  }
  add(anatomy, column(HU_BONE, 0, -62, 21, 17));
  add(anatomy, column(HU_MUSCLE, 0, -82, 8, 7));
  add(anatomy, column(HU_CORTEX, 0, -93, 5, 8));
  for (int loop = 0; loop < 6; loop++) {
    Shape bowel =
        ellipsoid(HU_BOWEL + rng_between(rng, -12, 12), rng_between(rng, -75, 75),
                  rng_between(rng, 20, 62), rng_between(rng, -70, -25), rng_between(rng, 13, 26),
                  rng_between(rng, 10, 15), rng_between(rng, 10, 15));
    bowel.everywhere = false;
    add(anatomy, bowel);
  }
}

static void filling_add(Anatomy *anatomy, const Filling *filling) {
  const double *c = filling->centre, *r = filling->semi;
  Shape *shape = add(anatomy, ellipsoid(filling->hu, c[0], c[1], c[2], r[0], r[1], r[2]));
  shape->everywhere = false;
}

void anatomy_draw(Anatomy *anatomy, const Body *body, const bool wanted[PHANTOM_ORGANS + 1],
                  Rng *rng) {
  *anatomy = (Anatomy){0};
  trunk_add(anatomy, rng);
  Variation variation[PHANTOM_ORGANS + 1];
  variations_draw(body, variation, rng);
  for (int i = 0; i < body->fillings; i++) filling_add(anatomy, &body->filling[i]);
  for (int i = 0; i < body->blobs; i++) {
    const Blob *blob = &body->blob[i];
    if (wanted[blob->organ]) blob_add(anatomy, blob, &variation[blob->organ], rng);
  }
  for (int i = 0; i < body->pipes; i++) {
    const Pipe *pipe = &body->pipe[i];
    if (wanted[pipe->organ]) pipe_add(anatomy, pipe, &variation[pipe->organ], rng);
  }
}

static double ellipsoid_distance(const Shape *shape, const double at[3]) {
  double q[3], square = 0, smallest = HUGE_VAL;
  for (int i = 0; i < 3; i++) {
    q[i] = 0;
    for (int j = 0; j < 3; j++) q[i] += shape->turn[i][j] * (at[j] - shape->centre[j]);
    q[i] /= shape->semi[i];
    if (shape->semi[i] < smallest) smallest = shape->semi[i];
  }
  q[0] += shape->bend * (q[2] * q[2] - 0.4);
  for (int i = 0; i < 3; i++) square += q[i] * q[i];
  double outside = sqrt(square) - 1, relief = 0;
  bool near = fabs(outside) < 0.3; /* twice what the relief can change: it cannot matter beyond */
  for (int i = 0; near && shape->wave > 0 && i < 3; i++) relief += sin(4 * q[i] + shape->phase[i]);
  return (outside + shape->wave * relief) * smallest;
}

static double tube_distance(const Shape *shape, const double at[3]) {
  double nearest = HUGE_VAL;
  for (int i = 0; i + 1 < shape->points; i++) {
    const double *a = shape->point[i], *b = shape->point[i + 1];
    double along = 0, length = 0, square = 0;
    for (int k = 0; k < 3; k++) {
      along += (at[k] - a[k]) * (b[k] - a[k]);
      length += (b[k] - a[k]) * (b[k] - a[k]);
    }
    double t = along <= 0 ? 0 : along >= length ? 1 : along / length;
    for (int k = 0; k < 3; k++) {
      double apart = at[k] - a[k] - t * (b[k] - a[k]);
      square += apart * apart;
    }
    double radius = shape->radius[i] + t * (shape->radius[i + 1] - shape->radius[i]);
    double distance = sqrt(square) - radius;
    if (distance < nearest) nearest = distance;
  }
  return nearest;
}

double shape_distance(const Shape *shape, const double at[3]) {
  return shape->points ? tube_distance(shape, at) : ellipsoid_distance(shape, at);
}
