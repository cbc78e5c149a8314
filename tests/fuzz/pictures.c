/* PNG files as images and as label maps, JPEG files as images. */
#include "src/data/pictures/pictures.h"
#include "tests/fuzz/fuzz.h"

enum { VALUES_MOST = 1 << 24 };

typedef bool Inspect(const char *path, Grid *grid, int *channels, Error *error);
typedef bool Read(Image *image, const char *path, Error *error);

/* Whether it is small enough to be read. */
static bool picture(const char *path, Inspect *inspect, Read *read) {
  Error looked = {""}, error = {""};
  Grid grid;
  int channels;
  Image image;
  bool known = inspect(path, &grid, &channels, &looked);
  fuzz_judge(known, &looked);
  if (known && (double)grid_voxels(&grid) * channels > VALUES_MOST) return false;
  bool good = read(&image, path, &error);
  fuzz_judge(good, &error);
  if (good) CHECK(image.channels == channels, "%d channels, %d", image.channels, channels);
  if (good) image_free(&image);
  return true;
}

void fuzz_png(const uint8_t *data, size_t bytes) {
  const char *path = fuzz_file(data, bytes);
  Error error = {""};
  LabelMap label;
  if (!picture(path, png_file_inspect, png_file_image_read)) return;
  bool good = png_file_label_read(&label, path, &error);
  fuzz_judge(good, &error);
  if (good) label_free(&label);
}

void fuzz_jpeg(const uint8_t *data, size_t bytes) {
  picture(fuzz_file(data, bytes), jpeg_file_inspect, jpeg_file_image_read);
}
