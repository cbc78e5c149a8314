#include "src/report/picture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/utf8.h"
#include "base/whole_file.h"
#include "src/machine/environment.h"
#include "src/report/quote.h"

/* Between single quotes only the quote itself means something to gnuplot; to its enhanced text what
 * stands in `marks`, which a backslash takes as it is. */
static void put_string(FILE *out, const char *text, bool tic) {
  static const char marks[] = "_^{}@~\\";
  fputc('\'', out);
  for (int length; *text; text += length ? length : 1) {
    length = utf8_length(text);
    if (strchr(marks, *text)) fputc('\\', out);
    if (*text == '\'' || (tic && *text == '%')) fputc(*text, out);
    if (length == 0)
      fputs("\xef\xbf\xbd", out);
    else if (*text == '&')
      fputs("' . amp . '", out); /* gnuplot 5.4 writes it into an SVG as it is: no XML any more */
    else if ((unsigned char)*text < ' ')
      fputc(' ', out);
    else
      fwrite(text, 1, (size_t)length, out);
  }
  fputc('\'', out);
}

void picture_text(FILE *out, const char *text) {
  put_string(out, text, false);
}

void picture_tic(FILE *out, const char *text) {
  put_string(out, text, true);
}

void picture_field(FILE *out, const char *text) {
  for (; *text; text++) fputc((unsigned char)*text < ' ' ? ' ' : *text == '"' ? '\'' : *text, out);
}

const char *const picture_colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                       "#000000", "#e69f00", "#56b4e9"};

void picture_terminal(FILE *out, int width, int height, int png, int svg) {
  fprintf(out,
          "if (!exists(\"ending\")) ending = \"svg\"\n"
          "if (ending eq \"png\") set terminal pngcairo size %d,%d font \"Sans,%d\" enhanced; \\\n"
          "else set terminal svg size %d,%d font \"sans-serif,%d\" enhanced background \"white\"\n"
          "amp = \"\\\\&\" . (ending eq \"svg\" ? \"amp;\" : \"\")\n",
          width, height, png, width, height, svg);
}

void picture_frame_sized(FILE *out, int width, int height) {
  picture_terminal(out, width, height, 13, 14);
  fputs("set border 3\nset tics nomirror out\nset grid ytics lt 1 lw 1 lc rgb \"#cccccc\"\n"
        "set key outside top center horizontal\n",
        out);
}

void picture_frame(FILE *out) {
  picture_frame_sized(out, 900, 560);
}

FILE *picture_create(const char *folder, const char *name, const char *ending, Error *error) {
  char path[PLOT_PATH];
  snprintf(path, sizeof path, "%.4000s/plots", folder);
  if (mkdir(path, 0777) && errno != EEXIST) {
    fail(error, "%s: cannot make the folder for plots: %s", path, strerror(errno));
    return NULL;
  }
  snprintf(path, sizeof path, "%.4000s/plots/%s%s", folder, name, ending);
  FILE *file = fopen(path, "w");
  if (!file) fail(error, "%s: cannot write: %s", path, strerror(errno));
  return file;
}

bool picture_finish(FILE *file, const char *name, Error *error) {
  bool good = !ferror(file);
  if (fclose(file) == 0 && good) return true;
  return fail(error, "%s: the plot's files could not be written whole: is the disk full?", name);
}

/* Runs the script for one ending in the plots' folder, so that no path stands in a command; without
 * the user's own settings, which could change any picture (a GNUTERM that it lacks even ends
 * gnuplot 5.4). It draws into NAME.ENDING.part. */
static bool draw(const char *folder, const char *name, const char *ending, Error *error) {
  char plots[PLOT_PATH], setting[1024], script[512], part[PLOT_PATH];
  snprintf(plots, sizeof plots, "%.4000s/plots", folder);
  snprintf(setting, sizeof setting, "ending='%s'; set output '%s.%s.part'", ending, name, ending);
  snprintf(script, sizeof script, "./%s.gp", name);
  snprintf(part, sizeof part, "%.3900s/%s.%s.part", plots, name, ending);
  const char *arguments[] = {"env", "-u", "GNUTERM", "gnuplot", "-d", "-e", setting, script, NULL};
  int code;
  char *said = environment_command_in(plots, arguments, 4096, &code);
  if (code != 0) unlink(part);
  if (code == 127 || code < 0)
    fail(error, "%s/%s.gp: gnuplot cannot be started; is it installed (apt install gnuplot-nox)?",
         plots, name);
  if (code != 0)
    fail(error, "%s/%s.gp: gnuplot could not draw it: %.400s", plots, name,
         said && said[0] ? said + strspn(said, "\n ") : "it ended without a word");
  free(said);
  return code == 0;
}

/* ---- what is drawn already ------------------------------------------------------------------- */

static const char mark[] = "<!-- drawn from %016llx -->\n";
enum { MARK_BYTES = 37 };

static void add_file(XXH3_state_t *state, const char *folder, const char *name,
                     const char *ending) {
  char path[PLOT_PATH], block[4096];
  size_t got;
  snprintf(path, sizeof path, "%.4000s/plots/%s%s", folder, name, ending);
  FILE *file = fopen(path, "r");
  XXH3_64bits_update(state, ending, strlen(ending));
  while (file && (got = fread(block, 1, sizeof block, file)) > 0)
    XXH3_64bits_update(state, block, got);
  if (file) fclose(file);
}

/* The mark of the files that NAME's picture is made of. */
static void inputs_mark(const char *folder, const char *name, char text[MARK_BYTES + 1]) {
  XXH3_state_t *state = XXH3_createState();
  CHECK(state, "no memory for a hash");
  XXH3_64bits_reset(state);
  add_file(state, folder, name, ".gp");
  add_file(state, folder, name, ".tsv");
  snprintf(text, MARK_BYTES + 1, mark, (unsigned long long)XXH3_64bits_digest(state));
  XXH3_freeState(state);
}

static bool drawn(const char *path, const char *expected) {
  char last[MARK_BYTES + 1] = "";
  FILE *file = fopen(path, "r");
  bool good = file && fseek(file, -MARK_BYTES, SEEK_END) == 0 &&
              fread(last, 1, MARK_BYTES, file) == MARK_BYTES && strcmp(last, expected) == 0;
  if (file) fclose(file);
  return good;
}

static bool draw_png(const char *folder, const char *name, Error *error) {
  char part[PLOT_PATH], path[PLOT_PATH];
  snprintf(path, sizeof path, "%.3900s/plots/%s.png", folder, name);
  snprintf(part, sizeof part, "%.4000s.part", path);
  return draw(folder, name, "png", error) && whole_place(part, path, error);
}

/* An & that gnuplot leaves alone in a text (put_string) it escapes once more in a curve's title,
 * which readers show beside the mouse. */
static void mend_titles(char *svg) {
  static const char twice[] = "&amp;amp;", once[] = "&amp;";
  const size_t kept = strlen(once), less = strlen(twice) - kept;
  char *at = svg, *end;
  while ((at = strstr(at, "<title>")) && (end = strstr(at, "</title>"))) {
    for (char *found; (found = strstr(at, twice)) && found < end; end -= less) {
      at = found + kept;
      memmove(at, at + less, strlen(at + less) + 1);
    }
    at = end;
  }
}

/* What gnuplot drew, with mended titles and the mark in its last line. */
static bool finish_svg(const char *path, const char *text, Error *error) {
  char part[PLOT_PATH + 8], *svg = NULL;
  size_t room = 0;
  snprintf(part, sizeof part, "%s.part", path);
  FILE *in = fopen(part, "r");
  bool good = in && getdelim(&svg, &room, 0, in) > 0;
  if (in) fclose(in);
  if (good) {
    WholeFile whole;
    mend_titles(svg);
    good = whole_begin(&whole, path, error);
    if (good) whole_write(&whole, svg, strlen(svg)), whole_write(&whole, text, strlen(text));
    good = good && whole_sync(&whole, error) && whole_end(&whole, NULL, error);
  } else
    fail(error, "%s: gnuplot drew nothing that can be read: %s", part, strerror(errno));
  free(svg);
  return good;
}

bool picture_draw(const char *folder, const char *name, char path[PLOT_PATH], Error *error) {
  char text[MARK_BYTES + 1];
  inputs_mark(folder, name, text);
  snprintf(path, PLOT_PATH, "%.4000s/plots/%s.svg", folder, name);
  if (drawn(path, text)) return true;
  Error none = {""};
  draw_png(folder, name, &none); /* without pngcairo there is the SVG */
  return draw(folder, name, "svg", error) && finish_svg(path, text, error);
}

/* Fifteen hues that stay apart on grey (after Kelly's list of maximum contrast), then again. */
void picture_colour(int label, unsigned char rgb[3]) {
  static const unsigned char colours[][3] = {
      {230, 25, 75},   {60, 180, 75},  {255, 225, 25},  {67, 99, 216},   {245, 130, 49},
      {66, 212, 244},  {240, 50, 230}, {191, 239, 69},  {250, 190, 212}, {70, 153, 144},
      {220, 190, 255}, {154, 99, 36},  {255, 250, 200}, {128, 128, 0},   {170, 255, 195}};
  int count = sizeof colours / sizeof *colours;
  memcpy(rgb, colours[(label + count - 1) % count], 3);
}
