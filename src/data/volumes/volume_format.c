#include "src/data/volumes/volume_format.h"

#include "src/data/nifti/nifti_file.h"
#include "src/data/pictures/pictures.h"

#include <string.h>
#include <strings.h>

const VolumeFormat volume_formats[VOLUME_FORMATS] = {{.name = "NIfTI",
                                                      .ending = {".nii.gz", ".nii"},
                                                      .inspect = nifti_file_inspect,
                                                      .image_read = nifti_file_image_read,
                                                      .label_read = nifti_file_label_read,
                                                      .image_write = nifti_file_image_write,
                                                      .label_write = nifti_file_label_write},
                                                     {.name = "PNG",
                                                      .ending = {".png"},
                                                      .picture = true,
                                                      .inspect = png_file_inspect,
                                                      .image_read = png_file_image_read,
                                                      .label_read = png_file_label_read,
                                                      .image_write = png_file_image_write,
                                                      .label_write = png_file_label_write},
                                                     {.name = "JPEG",
                                                      .ending = {".jpg", ".jpeg"},
                                                      .labels = ".png",
                                                      .picture = true,
                                                      .inspect = jpeg_file_inspect,
                                                      .image_read = jpeg_file_image_read,
                                                      .label_read = jpeg_file_label_refuse,
                                                      .image_write = jpeg_file_image_refuse,
                                                      .label_write = jpeg_file_label_write_refuse}};

static bool ends_so(const char *name, size_t length, const VolumeFormat *format, const char *end) {
  size_t bytes = strlen(end);
  if (length <= bytes) return false;
  const char *found = name + length - bytes;
  return !(format->picture ? strcasecmp(found, end) : strcmp(found, end));
}

const VolumeFormat *volume_format(const char *name, const char **ending) {
  size_t length = strlen(name);
  for (int i = 0; i < VOLUME_FORMATS; i++)
    for (const char *const *end = volume_formats[i].ending; *end; end++) {
      if (!ends_so(name, length, &volume_formats[i], *end)) continue;
      if (ending) *ending = name + length - strlen(*end);
      return &volume_formats[i];
    }
  return NULL;
}

const VolumeFormat *format_of_ending(const char *ending) {
  char name[32];
  const char *found;
  snprintf(name, sizeof name, "a%.16s", ending);
  const VolumeFormat *format = volume_format(name, &found);
  return format && !strcmp(found, ending) ? format : NULL;
}

bool is_picture(const char *name) {
  const VolumeFormat *format = volume_format(name, NULL);
  return format && format->picture;
}

const char *label_ending(const char *image) {
  return is_picture(image) ? ".png" : ".nii.gz";
}

/* A name that says nothing is looked into as NIfTI, whose reader says what it is not. */
static const VolumeFormat *format_of(const char *path) {
  const VolumeFormat *format = volume_format(path, NULL);
  return format ? format : volume_formats;
}

bool image_read(Image *image, const char *path, Error *error) {
  *image = (Image){0};
  return format_of(path)->image_read(image, path, error);
}

bool label_read(LabelMap *label, const char *path, Error *error) {
  *label = (LabelMap){0};
  return format_of(path)->label_read(label, path, error);
}

bool volume_inspect(const char *path, Grid *grid, int *channels, Error *error) {
  return format_of(path)->inspect(path, grid, channels, error);
}

bool image_write(const Image *image, VoxelType type, const char *path, Error *error) {
  return format_of(path)->image_write(image, type, path, error);
}

bool label_write(const LabelMap *label, const char *path, Error *error) {
  return format_of(path)->label_write(label, path, error);
}
