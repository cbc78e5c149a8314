/* One scene of scenes.h. Private to src/data. */
#ifndef DATA_SCENES_DRAW_H
#define DATA_SCENES_DRAW_H

#include "base/rng.h"

enum { SCENE_OBJECTS = 12 };

/* colour (H,W,3), 0..255; object (H,W): which is seen, from 1 on in the order of drawing, 0: none.
 * Returns how many were drawn. */
int scene_draw(int height, int width, Rng *rng, float *colour, uint8_t *object);

#endif
