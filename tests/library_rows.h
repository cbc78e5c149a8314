/* Our kernels around the libraries' products (rows.h, epilogues.h) in the emulator: the ops that
 * they serve are not there. */
#ifndef TESTS_LIBRARY_ROWS_H
#define TESTS_LIBRARY_ROWS_H

/* How many numbers came out wrong; *count: of how many. */
#ifdef __cplusplus
extern "C"
#endif
    int
    library_rows_wrong(int *count);

/* Likewise the kernels for images of conv (image_conv.h), tests/image_conv.cu. */
#ifdef __cplusplus
extern "C"
#endif
    int
    image_conv_wrong(int *count);

#endif
