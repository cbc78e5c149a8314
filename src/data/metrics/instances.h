/* Objects of a picture: many of one structure, each of which is found or not.
 *
 * Objects of a prediction are its connected parts (corners join); those of the reference what an
 * instance map numbers, or its connected parts where there is none, so that bodies that touch are
 * one. An object is found where a predicted one shares more than half of their union (IoU > .5,
 * which at most one can), and
 *
 *   instance_f1  2 found / (objects of the reference + objects of the prediction) */
#ifndef DATA_INSTANCES_H
#define DATA_INSTANCES_H

#include "src/data/metrics/score.h"

/* Fills METRIC_instance_f1 of every structure that either map holds. numbers (D,H,W): whole numbers
 * above 0 of objects, or NULL. */
bool score_instances(const Labelling *labelling, const uint8_t *reference, const float *numbers,
                     const uint8_t *prediction, const int dim[3], Score *score, Error *error);

/* The instance map of a case, DIR/instancesTr/NAME.png, on the grid of the reference. No file:
 * numbers->data is NULL, and that is no error. Errors: one that is no map of these pixels. */
bool instances_read(Image *numbers, const char *dir, const char *name, const Grid *grid,
                    Error *error);

#endif
