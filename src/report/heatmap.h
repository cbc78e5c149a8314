/* MaskMed's Figures 3-5: heat maps of embeddings, a row for each input, a column for each kind of
 * head, the ground truth of a slice at the right. */
#ifndef REPORT_HEATMAP_H
#define REPORT_HEATMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "src/report/picture.h"

enum { HEATMAP_INPUTS = 2, HEATMAP_HEADS = 8 };

/* Values (rows, columns), or (columns, rows) when transposed; NULL: nothing is drawn there. */
typedef struct HeatMap {
  const float *value;
  int rows, columns;
  bool transposed;
} HeatMap;

typedef struct HeatSheet {
  const char *name, *title;
  const char *x_axis; /* "class", "channel"; y is the query */
  int heads;
  char head[HEATMAP_HEADS][80];
  HeatMap map[HEATMAP_INPUTS][HEATMAP_HEADS];
  const uint8_t *slice[HEATMAP_INPUTS]; /* labels (height, width) */
  int height, width;
} HeatSheet;

bool heatmap_plot(const HeatSheet *sheet, const char *folder, char path[PLOT_PATH], Error *error);

#endif
