/* What phantom2d.h draws on: planes of (H,W). Private to src/data. */
#ifndef DATA_CANVAS_H
#define DATA_CANVAS_H

#include "base/rng.h"

typedef struct Canvas {
  int height, width;
  float *colour;  /* (H,W,3), 0 .. 255 */
  float *cover;   /* (H,W): the share of a pixel that what is being drawn covers */
  uint8_t *label; /* (H,W) */
  float *object;  /* (H,W): numbers of bodies, from 1; NULL: nobody asks */
  int variant;    /* phantom2d.h's, from 1 */
} Canvas;

/* The shorter side, by which things are sized. */
double canvas_unit(const Canvas *canvas);
void canvas_clear(Canvas *canvas); /* its cover */
/* A disc into the cover, its edge a pixel wide. */
void canvas_disc(Canvas *canvas, double y, double x, double radius);
/* A line of discs from `at` (y, x) on in direction `angle`, which turns by `bend` a pixel; its
 * radius falls in equal steps from radius[0] to radius[1]. `at` and `angle` are left at its end. */
void canvas_line(Canvas *canvas, double at[2], double *angle, double bend, int length,
                 const double radius[2]);
/* Mixes the colour in where the cover is, as strongly as it is, times `strength`. */
void canvas_mix(Canvas *canvas, const double colour[3], double strength);
/* Adds level * exp(-d^2 / 2 spread^2) of each colour around (y, x). */
void canvas_glow(Canvas *canvas, double y, double x, double spread, const double level[3]);
/* Normal noise of variance plain^2 + poisson * value, then whole values from 0 to 255. */
void canvas_expose(Canvas *canvas, double plain, double poisson, Rng *rng);

/* Each kind of phantom2d.h: on a black canvas with labels 0. */
void draw_lesion(Canvas *canvas, Rng *rng);
void draw_nuclei(Canvas *canvas, Rng *rng);
void draw_vessels(Canvas *canvas, Rng *rng);

#endif
