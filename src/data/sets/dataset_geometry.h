/* What the headers of a data set say of how its volumes lie, without reading a voxel. */
#ifndef DATA_DATASET_GEOMETRY_H
#define DATA_DATASET_GEOMETRY_H

#include "src/data/sets/dataset.h"
#include "src/data/volumes/placement.h"

enum { GEOMETRY_REMARKS = 9 };

typedef struct DatasetGeometry {
  char orientation[ORIENTATION_BYTES]; /* of most cases' first images, the first case's where two
                                          are equally frequent; ORIENTATION_ANY: none has one */
  int turned;                          /* cases whose first image has another */
  int unoriented;                      /* cases whose first image has none, pictures apart */
  struct {
    int files;
    const char *first; /* the data set's */
  } remark[GEOMETRY_REMARKS];
} DatasetGeometry;

/* Files that cannot be read are passed over. Error: cases without orientation beside cases whose
 * orientations differ, so that nobody can know which of them lie alike. */
bool dataset_geometry(const Dataset *dataset, DatasetGeometry *geometry, Error *error);

/* One line for remark i: how many files, the first of them, what it means; NULL: no file has it. To
 * be freed. */
char *geometry_remark(const DatasetGeometry *geometry, int i);

/* The remarks on cases that need not be of one set, a line each; one more for those whose first
 * image lies otherwise than `stored`, as which a network knows all of them ("": any). */
void geometry_tell(Case *item, int cases, const char *stored, FILE *out);

/* Whether anything in the headers makes more of a file than its bytes say: lengths that are not in
 * mm, files turned onto the first of their case, cases without orientation beside others. */
bool geometry_matters(const DatasetGeometry *geometry, int cases);

#endif
