#include "src/data/batches/augment.h"
#include "src/data/batches/intensity.h"
#include "src/data/batches/picture_change.h"

#include <string.h>

bool augment_parse(const char *name, const char *mirror, Augment *augment, Error *error) {
  static const char letters[] = "dhw";
  *augment = (Augment){.spatial = !strcmp(name, "nnunet"), .picture = !strcmp(name, "qtseg")};
  augment->intensity = augment->spatial || !strcmp(name, "intensity");
  if (!augment->intensity && !augment->picture && strcmp(name, "none"))
    return fail(
        error, "augment = \"%s\": expected \"none\", \"intensity\", \"nnunet\" or \"qtseg\"", name);
  if (!strcmp(mirror, "none")) return true;
  for (const char *at = mirror; *at; at++) {
    const char *letter = strchr(letters, *at);
    if (!letter || augment->mirror[letter - letters])
      return fail(error, "mirror = \"%s\": expected \"none\" or each of d, h, w at most once",
                  mirror);
    augment->mirror[letter - letters] = true;
  }
  for (int axis = 0; axis < 3; axis++) augment->mirror[axis] &= augment->spatial;
  return true;
}

size_t augment_scratch(const Augment *augment, const int patch[3], int channels) {
  size_t voxels = (size_t)patch[0] * (size_t)patch[1] * (size_t)patch[2];
  return augment->intensity || augment->picture ? voxels * ((size_t)channels + 1) : 0;
}

Warp augment_warp(const Augment *augment, const int patch[3], Rng *rng) {
  return augment->spatial ? warp_draw(patch, augment->mirror, rng) : warp_identity();
}

void augment_patch(const Augment *augment, const int patch[3], int channels, Rng *rng,
                   float *scratch, float *image, int32_t *label) {
  if (augment->picture) picture_change(&patch[1], channels, rng, scratch, image, label);
  if (!augment->intensity) return;
  size_t voxels = (size_t)patch[0] * (size_t)patch[1] * (size_t)patch[2], n = (size_t)channels;
  float *planes = channels == 1 ? image : scratch + voxels;
  Plane plane = {.value = planes, .spare = scratch, .dim = {patch[0], patch[1], patch[2]}};
  for (size_t i = 0; channels > 1 && i < voxels; i++)
    for (size_t c = 0; c < n; c++) planes[c * voxels + i] = image[i * n + c];
  intensity_change(&plane_ops_host, &plane, channels, warp_thin_axis(patch), rng);
  for (size_t i = 0; channels > 1 && i < voxels; i++)
    for (size_t c = 0; c < n; c++) image[i * n + c] = planes[c * voxels + i];
}
