/* The phantom's anatomy as a list of implicit shapes in millimetres. Private to src/data.
 * Coordinates are phantom_body.h's. */
#ifndef DATA_PHANTOM_SHAPE_H
#define DATA_PHANTOM_SHAPE_H

#include "base/rng.h"
#include "src/data/phantom/phantom_body.h"

enum { TUBE_POINTS = 24, SHAPES_MAX = 64 };

typedef struct Shape {
  int organ; /* AMOS id, 0: anatomy without a label */
  double hu;
  bool everywhere; /* not confined to the abdominal cavity */
  int points;      /* of a tube; 0: an ellipsoid */
  double point[TUBE_POINTS][3], radius[TUBE_POINTS];
  double centre[3], semi[3];
  double turn[3][3];      /* body -> ellipsoid axes */
  double bend;            /* x += bend*(z*z) in units of the semi-axes: a bean */
  double wave, phase[3];  /* relief of the surface, share of the radius */
  double low[3], high[3]; /* bounding box, mm */
} Shape;

typedef struct Anatomy {
  Shape shape[SHAPES_MAX]; /* painted in this order, the later over the earlier */
  int shapes;
  int cavity; /* index of the shape that confines the organs */
} Anatomy;

/* Draws the anatomy of one case: the organs whose wanted[id] is set, id 1..15. */
void anatomy_draw(Anatomy *anatomy, const Body *body, const bool wanted[PHANTOM_ORGANS + 1],
                  Rng *rng);
/* Signed distance in mm, about: negative inside. */
double shape_distance(const Shape *shape, const double at[3]);

#endif
