/* NIfTI files made header first, and what must be said of bad ones. Static: every test program has
 * its own. Include behind setjmp.h and what cmocka.h needs. */
#ifndef TESTS_NIFTI_FILES_H
#define TESTS_NIFTI_FILES_H

#include "tests/scratch.h"

#include <nifti/nifti1.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <zlib.h>

#include <cmocka.h>

/* What a bad file must say, and that nothing is owned afterwards. */
__attribute__((unused)) static void image_refused(const char *path, const char *says,
                                                  const char *says_too) {
  Error error = {0};
  Image image;
  if (image_read(&image, path, &error)) fail_msg("%s was read", path);
  assert_null(image.data);
  if (!strstr(error.text, says) || !strstr(error.text, says_too))
    fail_msg("expected \"%s\" and \"%s\" in: %s", says, says_too, error.text);
}

__attribute__((unused)) static void label_refused(const char *path, const char *says) {
  Error error = {0};
  LabelMap label;
  if (label_read(&label, path, &error)) fail_msg("%s was read", path);
  assert_null(label.data);
  if (!strstr(error.text, says)) fail_msg("expected \"%s\" in: %s", says, error.text);
}

__attribute__((unused)) static nifti_1_header header_of(int w, int h, int d, int type, int bits) {
  nifti_1_header header = {.sizeof_hdr = 348,
                           .dim = {3, (short)w, (short)h, (short)d, 1, 1, 1, 1},
                           .pixdim = {1, 1, 1, 1, 1, 1, 1, 1},
                           .datatype = (short)type,
                           .bitpix = (short)bits,
                           .vox_offset = 352};
  memcpy(header.magic, "n+1", 4);
  return header;
}

__attribute__((unused)) static void header_write(const Scratch *scratch, const char *name,
                                                 nifti_1_header header, const void *voxels,
                                                 size_t bytes) {
  char *file = calloc(1, 352 + bytes);
  memcpy(file, &header, sizeof header);
  if (bytes) memcpy(file + 352, voxels, bytes);
  const char *path = scratch_path(scratch, "%s", name);
  if (strstr(name, ".gz")) {
    gzFile out = gzopen(path, "wb");
    assert_int_equal(gzwrite(out, file, (unsigned)(352 + bytes)), 352 + bytes);
    gzclose(out);
  } else {
    bytes_write(path, file, 352 + bytes);
  }
  free(file);
}

#endif
