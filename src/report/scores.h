/* What a comparison of label maps found, as a table for reading, CSV or JSON.
 *
 * CSV: a line per case and label. JSON: {"schema", "surface", "tolerance_mm", "dataset", "cases",
 * "unpredicted", "rules", "rows": [per case and label], "labels": [per label: counts of the
 * situations; "dice": {"mean", "sd", "n"} ...; and "found": the same over the cases whose situation
 * is "both"], "mean": {over labels}, "read_s", "score_s"}. Distances in mm, volumes in ml. */
#ifndef REPORT_SCORES_H
#define REPORT_SCORES_H

#include "src/data/metrics/comparison.h"

/* The table's rows: per label, and with each_case (or when there is one case) per case too. */
void scores_text(const Comparison *comparison, const SurfaceOptions *surface, bool each_case,
                 FILE *out);
void scores_csv(const Comparison *comparison, FILE *out);
void scores_json(const Comparison *comparison, const SurfaceOptions *surface, FILE *out);

const char *surface_name(SurfaceKind kind); /* "voxels", "surfels" */

#endif
