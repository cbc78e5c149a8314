#define _GNU_SOURCE /* asprintf */
#include "src/data/sets/dataset_geometry.h"

#include <string.h>

/* By GridRemark's bits, and the last of the grids of a case to each other. */
static const char *const meaning[GEOMETRY_REMARKS] = {
    "no orientation in the header (sform_code = qform_code = 0, or numbers that are no affine): "
    "taken as the others are stored",
    "pixdim is not the spacing of sform or qform, which is taken",
    "sform and qform place the voxels differently: the sform is taken",
    "the header's unit of length is none that NIfTI knows: taken as mm",
    "the header's lengths are in metres or microns: converted to mm",
    "the sform is no box with right angles: the qform is taken",
    "by the header its longest side is above 5 m or below 1 mm: is the unit of its lengths right?",
    "its EXIF data asks that it be shown turned or mirrored: it is taken as it is stored, as "
    "nnU-Net "
    "does; the label map must lie so too",
    "stored in another orientation than the first file of the case: turned to it, which loses "
    "nothing"};
enum { UNIT = 4, TURNED = GEOMETRY_REMARKS - 1 };
_Static_assert(GRID_UNORIENTED == 1 && GRID_UNIT_OTHER == 1 << UNIT &&
                   GRID_EXIF_TURNED == 1 << (TURNED - 1),
               "a remark without its meaning");

static void remark_add(DatasetGeometry *geometry, int i, const char *path) {
  if (!geometry->remark[i].files++) geometry->remark[i].first = path;
}

/* One case: its headers' remarks, and the orientation of its first image ("": none). */
static void case_look(const Case *item, DatasetGeometry *geometry, char code[ORIENTATION_BYTES]) {
  Grid first = {0};
  for (int i = 0; i <= item->images; i++) {
    const char *path = i < item->images ? item->image[i] : item->label;
    if (!path) break; /* an image to be predicted */
    Grid grid;
    int channels;
    Error unread = {""}; /* told when its turn to be read comes */
    if (!volume_inspect(path, &grid, &channels, &unread)) continue;
    bool picture = grid.remarks & GRID_PICTURE; /* nobody expects it to say how it lies */
    for (int bit = 0; bit < TURNED; bit++)
      if (grid.remarks >> bit & 1 && !(picture && 1 << bit == GRID_UNORIENTED))
        remark_add(geometry, bit, path);
    Turn turn;
    if (i == 0) {
      first = grid;
      if (grid.remarks & GRID_UNORIENTED)
        geometry->unoriented += !picture;
      else
        grid_orientation(&grid, code);
    } else if (first.dim[0] &&
               placed_alike((Placed){&first, ""}, (Placed){&grid, ""}, &turn, &unread) &&
               !turn_is_none(&turn))
      remark_add(geometry, TURNED, path);
  }
}

/* The most frequent of the codes that are not empty. */
static void vote(DatasetGeometry *geometry, char (*code)[ORIENTATION_BYTES], int cases) {
  enum { KINDS = 48 };
  char kind[KINDS][ORIENTATION_BYTES];
  int count[KINDS] = {0}, kinds = 0, best = 0, known = 0;
  for (int i = 0; i < cases; i++) {
    if (!code[i][0]) continue;
    int k = 0;
    while (k < kinds && strcmp(kind[k], code[i]) != 0) k++;
    if (k == kinds) strcpy(kind[kinds++], code[i]);
    count[k]++;
    known++;
  }
  for (int k = 1; k < kinds; k++)
    if (count[k] > count[best]) best = k;
  strcpy(geometry->orientation, kinds ? kind[best] : ORIENTATION_ANY);
  geometry->turned = known - count[best];
}

bool dataset_geometry(const Dataset *dataset, DatasetGeometry *geometry, Error *error) {
  *geometry = (DatasetGeometry){.turned = 0};
  char(*code)[ORIENTATION_BYTES] = calloc((size_t)dataset->cases + 1, sizeof *code);
  CHECK(code, "out of memory for %d cases", dataset->cases);
  int other = 0; /* a case that lies otherwise than most */
  for (int i = 0; i < dataset->cases; i++) case_look(&dataset->item[i], geometry, code[i]);
  vote(geometry, code, dataset->cases);
  while (geometry->turned && (!code[other][0] || !strcmp(code[other], geometry->orientation)))
    other++;
  bool clear = !geometry->turned || !geometry->unoriented;
  if (!clear)
    fail(error,
         "%s: %d case(s) have no orientation in their header, while the others' differ (%s, but %s "
         "in case %s): which of them lie alike cannot be known; write an sform into them, first %s",
         dataset->dir, geometry->unoriented, geometry->orientation, code[other],
         dataset->item[other].name, geometry->remark[0].first);
  free(code);
  return clear;
}

char *geometry_remark(const DatasetGeometry *geometry, int i) {
  char *text = NULL;
  if (!geometry->remark[i].files) return NULL;
  if (asprintf(&text, "%d file(s): %s; first %s", geometry->remark[i].files, meaning[i],
               geometry->remark[i].first) < 0)
    abort();
  return text;
}

static void strangers_tell(Case *item, int cases, const char *stored, FILE *out) {
  int strangers = 0, first = 0;
  char code[ORIENTATION_BYTES] = "", other[ORIENTATION_BYTES] = "";
  for (int i = cases - 1; i >= 0; i--) {
    DatasetGeometry untold = {.turned = 0};
    code[0] = 0;
    case_look(&item[i], &untold, code);
    if (!code[0] || !strcmp(code, stored)) continue;
    strangers++, first = i;
    strcpy(other, code);
  }
  if (strangers)
    fprintf(
        out,
        "harness: %d image(s) are stored in another orientation (%s) than those that this trial "
        "learned as they are (%s): without a plan nothing is turned, and the labels are likely "
        "wrong; turn the images, or train by a plan (`harness data plan`); first %s\n",
        strangers, other, stored, item[first].image[0]);
}

void geometry_tell(Case *item, int cases, const char *stored, FILE *out) {
  DatasetGeometry geometry;
  Error each_on_its_own = {""};
  Dataset view = {.dir = "", .item = item, .cases = cases};
  dataset_geometry(&view, &geometry, &each_on_its_own);
  for (int i = 0; i < GEOMETRY_REMARKS; i++) {
    char *text = geometry_remark(&geometry, i);
    if (text) fprintf(out, "harness: %s\n", text);
    free(text);
  }
  if (stored[0]) strangers_tell(item, cases, stored, out);
}

bool geometry_matters(const DatasetGeometry *geometry, int cases) {
  return geometry->remark[TURNED].files || geometry->remark[UNIT].files ||
         (geometry->unoriented && geometry->unoriented < cases);
}
