/* What every picture needs: its files FOLDER/plots/NAME.{tsv,gp,svg,png} and gnuplot. */
#ifndef REPORT_PICTURE_H
#define REPORT_PICTURE_H

#include <stdio.h>

#include "base/error.h"

enum { PLOT_PATH = 4400 };

/* The text as a string of gnuplot's, quotes included: nothing in it is a command, the end of a
 * quote or, in enhanced text, a subscript and the like. Several are joined by " . ". */
void picture_text(FILE *out, const char *text);
/* The same as the name of a tic, where % would begin a number's format. */
void picture_tic(FILE *out, const char *text);
/* The text as a field of a data file. */
void picture_field(FILE *out, const char *text);
/* The terminal, its size in pixels: Sans of so many points in the PNG and the SVG. */
void picture_terminal(FILE *out, int width, int height, int png, int svg);
/* Terminal (900 x 560, or of the size given), borders, grid and key, common to most pictures. */
void picture_frame(FILE *out);
void picture_frame_sized(FILE *out, int width, int height);
/* Of rows, to be taken modulo PICTURE_COLOURS: Okabe and Ito's, which stay apart for the
 * colour-blind, without the yellow that is lost on white. */
extern const char *const picture_colours[];
enum { PICTURE_COLOURS = 7 };
/* Opens FOLDER/plots/NAMEENDING for writing (".tsv", ".gp"), making the folder. */
FILE *picture_create(const char *folder, const char *name, const char *ending, Error *error);
/* Closes it; false when it could not be written whole. */
bool picture_finish(FILE *file, const char *name, Error *error);
/* Runs NAME.gp for SVG and PNG, each there whole or not at all; path: the SVG. The script is told
 * `ending` ("svg" or "png") and has its output set. Script and data (.gp, .tsv) are hashed into the
 * SVG's last line: drawn from the same it is not drawn again. */
bool picture_draw(const char *folder, const char *name, char path[PLOT_PATH], Error *error);

/* The colour of a structure (label >= 1): neighbours in number differ in hue. */
void picture_colour(int label, unsigned char rgb[3]);

#endif
