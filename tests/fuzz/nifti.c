/* Header and voxels of a NIfTI file, packed or not, as image and as label map. */
#include "src/data/nifti/nifti_file.h"
#include "tests/fuzz/fuzz.h"

void fuzz_nifti(const uint8_t *data, size_t bytes) {
  const char *path = fuzz_file(data, bytes);
  Error looked = {""}, image_error = {""}, label_error = {""};
  Grid grid;
  int channels;
  Image image;
  LabelMap label;
  bool known = nifti_file_inspect(path, &grid, &channels, &looked);
  fuzz_judge(known, &looked);
  /* More would be read than a fuzzer has memory for; the sizes have been compared by now. */
  if (known && (double)grid_voxels(&grid) * channels > 1 << 22) return;
  bool read = nifti_file_image_read(&image, path, &image_error);
  fuzz_judge(read, &image_error);
  CHECK(known || !read, "read, but not known");
  if (read) image_is_constant(&image);
  if (read) image_free(&image);
  read = nifti_file_label_read(&label, path, &label_error);
  fuzz_judge(read, &label_error);
  if (read) label_free(&label);
}
