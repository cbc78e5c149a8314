#include "src/data/prepare/frame.h"

#include <math.h>
#include <string.h>

static const char growing[] = "RAS", falling[] = "LPI";

/* 0..2 for R/L, A/P, S/I, or -1. */
static int world_of(char letter) {
  for (int i = 0; i < 3; i++)
    if (letter && (letter == growing[i] || letter == falling[i])) return i;
  return -1;
}

bool orientation_check(const char *code, Error *error) {
  int seen = 0;
  if (!strcmp(code, ORIENTATION_ANY)) return true;
  bool letters = strlen(code) == 3;
  for (int i = 0; letters && i < 3; i++) {
    int world = world_of(code[i]);
    letters = world >= 0;
    if (letters) seen |= 1 << world;
  }
  if (letters && seen == 7) return true;
  return fail(error,
              "orientation \"%s\": expected three letters, one of R/L, one of A/P, one of "
              "S/I, such as RAS",
              code);
}

Frame frame_identity(const Grid *file) {
  Frame frame = {.file = *file};
  for (int axis = 0; axis < 3; axis++) {
    frame.axis[axis] = axis;
    frame.box_dim[axis] = frame.dim[axis] = file->dim[axis];
    frame.box_mm[axis] = frame.mm[axis] = file->spacing[axis];
  }
  return frame;
}

bool frame_make(Frame *frame, const Grid *file, const char *orientation, Error *error) {
  char own[ORIENTATION_BYTES];
  *frame = frame_identity(file);
  if (!orientation_check(orientation, error)) return false;
  if (!strcmp(orientation, ORIENTATION_ANY)) return true;
  if (file->remarks & GRID_UNORIENTED) return true; /* as the others' arrays lie */
  grid_orientation(file, own);
  for (int letter = 0; letter < 3; letter++) /* letter 0 is i, which is axis 2 (W) */
    for (int from = 0; from < 3; from++) {
      if (world_of(own[from]) != world_of(orientation[letter])) continue;
      int axis = 2 - letter;
      frame->axis[axis] = 2 - from;
      frame->flip[axis] = own[from] != orientation[letter];
      frame->box_dim[axis] = frame->dim[axis] = file->dim[2 - from];
      frame->box_mm[axis] = frame->mm[axis] = file->spacing[2 - from];
    }
  return true;
}

static bool row_used(const float *row, size_t values) {
  for (size_t i = 0; i < values; i++)
    if (row[i] != 0) return true;
  return false;
}

/* first and last used index of each axis of the file; false when nothing is. */
static bool used_range(const Image *image, int first[3], int last[3]) {
  const int *dim = image->grid.dim;
  size_t channels = (size_t)image->channels;
  for (int axis = 0; axis < 3; axis++) first[axis] = dim[axis], last[axis] = -1;
  for (int d = 0; d < dim[0]; d++)
    for (int h = 0; h < dim[1]; h++) {
      const float *row =
          image->data + ((size_t)d * (size_t)dim[1] + (size_t)h) * (size_t)dim[2] * channels;
      if (!row_used(row, (size_t)dim[2] * channels)) continue;
      int left = 0, right = dim[2] - 1;
      while (!row_used(row + (size_t)left * channels, channels)) left++;
      while (!row_used(row + (size_t)right * channels, channels)) right--;
      const int low[3] = {d, h, left}, high[3] = {d, h, right};
      for (int axis = 0; axis < 3; axis++) {
        if (low[axis] < first[axis]) first[axis] = low[axis];
        if (high[axis] > last[axis]) last[axis] = high[axis];
      }
    }
  return last[0] >= 0;
}

void frame_crop(Frame *frame, const Image *image) {
  int first[3], last[3];
  if (!used_range(image, first, last)) return;
  for (int axis = 0; axis < 3; axis++) {
    int from = frame->axis[axis], size = frame->file.dim[from];
    frame->box_first[axis] = frame->flip[axis] ? size - 1 - last[from] : first[from];
    frame->box_dim[axis] = frame->dim[axis] = last[from] - first[from] + 1;
  }
}

void frame_resample(Frame *frame, const double mm[3]) {
  for (int axis = 0; axis < 3; axis++)
    frame->mm[axis] = mm[axis] == FLAT_MM ? frame->box_mm[axis] : mm[axis];
  resample_dim(frame->box_dim, frame->box_mm, frame->mm, frame->dim);
}

void frame_held(const Frame *frame, int held[3]) {
  resample_dim(frame->box_dim, frame->box_mm, frame->mm, held);
  for (int axis = 0; axis < 3; axis++)
    if (held[axis] > frame->dim[axis]) held[axis] = frame->dim[axis];
}

int64_t frame_walk(const Frame *frame, int64_t step[3]) {
  const int *dim = frame->file.dim;
  const int64_t stride[3] = {(int64_t)dim[1] * dim[2], dim[2], 1};
  int64_t start = 0;
  for (int axis = 0; axis < 3; axis++) {
    int from = frame->axis[axis], at = frame->box_first[axis];
    start += (frame->flip[axis] ? dim[from] - 1 - at : at) * stride[from];
    step[axis] = frame->flip[axis] ? -stride[from] : stride[from];
  }
  return start;
}

void frame_take(const Frame *frame, const void *file, size_t bytes, void *box) {
  int64_t step[3], start = frame_walk(frame, step);
  voxels_walk(file, start, step, frame->box_dim, bytes, box);
}

void frame_restore(const Frame *frame, const uint8_t *box, uint8_t *file) {
  const int *dim = frame->box_dim;
  int64_t step[3], start = frame_walk(frame, step);
  memset(file, 0, grid_voxels(&frame->file));
  for (int d = 0; d < dim[0]; d++)
    for (int h = 0; h < dim[1]; h++) {
      int64_t row = start + d * step[0] + h * step[1];
      for (int w = 0; w < dim[2]; w++) file[row + w * step[2]] = *box++;
    }
}

void frame_orders_back(const Frame *frame, Interpolation order[3]) {
  resample_orders(frame->mm, frame->box_mm, LINEAR, order);
}
