/* What the values of label maps stand for, as nnU-Net v2 reads dataset.json.
 *
 *   plain    {"background": 0, "liver": 1, "tumor": 2}: structure s is value s
 *   regions  {"background": 0, "whole": [1, 2], "core": 2} and "regions_class_order": [1, 2]:
 *            structure s is the s-th region in the order of the file, a set of values; regions may
 *            overlap. A network says for each whether it is there; a label map is written by
 *            painting them one over another, region r with the r-th value of the order.
 *   ignore   {..., "ignore": 3}, in addition to either: voxels that nobody annotated. The highest
 *            value, and no structure: nothing is learned, predicted or scored there. */
#ifndef DATA_LABELLING_H
#define DATA_LABELLING_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { LABEL_VALUES = 256, REGIONS_MAX = 30 };

typedef struct Labelling {
  int values;                    /* label maps hold 0 .. values - 1 */
  int ignore;                    /* values - 1, or 0: there is none */
  int regions;                   /* 0: plain */
  uint32_t region[LABEL_VALUES]; /* by value: bit r - 1 where structure r holds it */
  uint8_t order[REGIONS_MAX];    /* what is painted for structure 1, 2, ... in turn */
} Labelling;

Labelling labelling_plain(int values);
/* Structures, background at 0 included: 1 .. structures - 1 are scored. */
int labelling_structures(const Labelling *labelling);
/* Channels of a network: the structures, or the regions without a background. */
int labelling_classes(const Labelling *labelling);
bool labelling_holds(const Labelling *labelling, int structure, int value);
/* Whether a value is its own class: neither regions nor ignore. */
bool labelling_is_plain(const Labelling *labelling);
/* Whether a value is of some structure to learn: neither background nor ignored. */
bool labelling_is_foreground(const Labelling *labelling, int value);
/* Whether a voxel of this value may be the centre of a patch that is forced onto a structure; with
 * structure 0 onto any voxel that somebody annotated, where that is not every voxel. */
bool labelling_centres(const Labelling *labelling, int structure, int value);
/* What a loss is told about a voxel of each value: its class, or the set of its regions as bits;
 * -1: nothing is known there. */
void labelling_targets(const Labelling *labelling, int32_t target[LABEL_VALUES]);

/* {"ignore": V, "regions": [[values], ...], "regions_class_order": [...]}, each where there is one;
 * a new reference. */
json_t *labelling_json(const Labelling *labelling);
/* The reverse; `structures` of plain labels, background included. False: damaged. */
bool labelling_read(Labelling *labelling, const json_t *json, int structures);

#endif
