/* Image, truth and prediction of a case side by side: its middle slices across D, H and W. */
#ifndef REPORT_TRIPTYCH_H
#define REPORT_TRIPTYCH_H

#include "src/data/nifti/volume.h"
#include "src/report/picture.h"

typedef struct Triptych {
  const char *name, *title;
  const Image *image;                /* the first channel is shown */
  const uint8_t *truth, *prediction; /* (D,H,W) */
  int labels;
  char *const *label_name;
} Triptych;

bool triptych_plot(const Triptych *triptych, const char *folder, char path[PLOT_PATH],
                   Error *error);

#endif
