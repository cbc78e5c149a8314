/* From class maps on the prepared grid to labels as they lie in the file: maps are interpolated
 * linearly (nearest on a coarse separate axis, see frame_orders_back), the largest class wins, or
 * each region above 1/2 is painted over those before it, and the box goes back to its place and
 * orientation; outside it is background; what the maps say of padding (fit.h) is not asked. Takes
 * the maps slab by slab and keeps one interpolated plane, so that memory does not grow with classes
 * x volume. */
#ifndef DATA_RESTORE_H
#define DATA_RESTORE_H

#include "engine/backend.h"
#include "src/data/prepare/frame.h"

typedef struct Restore {
  const Frame *frame;
  int classes;
  bool logits;            /* what the maps are, of which probability is the softmax or sigmoid */
  const uint8_t *regions; /* (classes): what is painted for each; NULL: classes, not regions */
  float above;            /* a map where its region is */
  uint8_t *label;         /* (file.dim) */
  float *probability;     /* (file.dim, classes), NULL: not wanted */
  Tap *tap[3];            /* (box_dim) per axis */
  float *plane;           /* (dim[1], dim[2], classes) */
  float *row;             /* (threads, dim[2], classes) */
  int next;               /* the box's plane that is due */
  /* restore_on_device; NULL: the maps are the host's */
  const Backend *backend;
  struct SlabTap *place[3];  /* tap, in the device's memory */
  uint8_t *painted;          /* regions */
  uint8_t *chosen, *fetched; /* a plane of the box: the device's, the host's */
  float *slab;               /* (planes, dim[1], dim[2], classes): only for probability */
} Restore;

/* label (file.dim) and probability (file.dim, classes), which may be NULL, are the caller's and are
 * overwritten; the frame must stay. Whatever it returns, restore_end frees what it made. */
bool restore_begin(Restore *restore, const Frame *frame, int classes, uint8_t *label,
                   float *probability, Error *error);
/* After restore_begin: the maps are logits, not probabilities. */
void restore_logits(Restore *restore);
/* After restore_begin and restore_logits, before restore_on_device: the classes are regions,
 * painted with these values (classes), which stay the caller's, where their probability is above
 * 1/2. */
void restore_regions(Restore *restore, const uint8_t *values);
/* After restore_begin: the maps to come lie in this backend's device, which chooses the labels (it
 * hands the maps over where probability is wanted); slabs are at most so many planes high. */
bool restore_on_device(Restore *restore, const Backend *backend, int planes, Error *error);
/* A TakeSlab (sliding_window.h); user: the Restore. After the last slab everything is written. */
bool restore_slab(void *user, int first, int end, const float *maps, Error *error);
void restore_end(Restore *restore);

#endif
