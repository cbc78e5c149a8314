/* What an anatomy is made of: mean places and sizes of its organs. Private to src/data/phantom.
 * Body coordinates: mm, x to the patient's right, y to the front, z to the head; 0 is the
 * middle. */
#ifndef DATA_PHANTOM_BODY_H
#define DATA_PHANTOM_BODY_H

#include "src/data/phantom/phantom.h"

/* An ellipsoid; bend makes a bean of it. Several of one organ are its parts. */
typedef struct Blob {
  int organ; /* AMOS id */
  double centre[3], semi[3], turn_degrees[3], bend;
} Blob;

typedef struct Pipe {
  int organ, knots;
  double knot[6][4]; /* x, y, z, radius */
} Pipe;

/* An ellipsoid around organs that is none, and the same in every case. */
typedef struct Filling {
  double hu, centre[3], semi[3];
} Filling;

/* Blobs are painted before pipes, both in their order and over the fillings. */
typedef struct Body {
  double ml[PHANTOM_ORGANS + 1]; /* of an adult: decides who is dropped first; 0: background */
  double hu[PHANTOM_ORGANS + 1];
  const Filling *filling;
  const Blob *blob;
  const Pipe *pipe;
  int fillings, blobs, pipes;
} Body;

const Body *body_of(int anatomy); /* 1..PHANTOM_ANATOMIES */

#endif
