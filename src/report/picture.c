#include "src/report/picture.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "src/store/environment.h"

void picture_label(FILE *out, const char *label) {
  for (; *label; label++) {
    if (strchr("_^{}@~", *label)) fputs("\\\\", out);
    if (*label == '"' || *label == '\\' || *label == '`') continue; /* `...` would be a command */
    if (*label == '&') {
      fputs("and", out); /* gnuplot 5.4 writes it into an SVG as it is: no XML any more */
      continue;
    }
    fputc((unsigned char)*label < ' ' ? ' ' : *label, out);
  }
}

const char *const picture_colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                       "#000000", "#e69f00", "#56b4e9"};

void picture_terminal(FILE *out, int width, int height, int png, int svg) {
  fprintf(out,
          "if (!exists(\"ending\")) ending = \"svg\"\n"
          "if (ending eq \"png\") set terminal pngcairo size %d,%d font \"Sans,%d\" enhanced; \\\n"
          "else set terminal svg size %d,%d font \"sans-serif,%d\" enhanced background \"white\"\n",
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

/* Runs the script for one ending inside the plots folder; the picture appears whole or not at all.
 */
static bool draw(const char *folder, const char *name, const char *ending) {
  char command[4600], setting[1024];
  snprintf(command, sizeof command, "%.4000s/plots", folder);
  snprintf(setting, sizeof setting, "ending=\"%s\"; set output \"%s.%s.part\"", ending, name,
           ending);
  char change[4700], part[PLOT_PATH], whole[PLOT_PATH], script[512];
  snprintf(change, sizeof change, "cd \"%s\"", command);
  snprintf(script, sizeof script, "%s.gp", name);
  const char *arguments[] = {"gnuplot", "-e", change, "-e", setting, script, NULL};
  char *output = environment_command(arguments, 4096);
  free(output);
  snprintf(part, sizeof part, "%.3900s/%s.%s.part", command, name, ending);
  snprintf(whole, sizeof whole, "%.3900s/%s.%s", command, name, ending);
  if (output && rename(part, whole) == 0) return true;
  unlink(part);
  return false;
}

/* --- what is drawn already --- */

static const char mark[] = "<!-- drawn from %016llx -->\n";
enum { MARK_BYTES = 37 };

static void add_file(XXH3_state_t *state, const char *path) {
  char block[4096];
  size_t got;
  FILE *file = fopen(path, "r");
  XXH3_64bits_update(state, path, strlen(path));
  while (file && (got = fread(block, 1, sizeof block, file)) > 0)
    XXH3_64bits_update(state, block, got);
  if (file) fclose(file);
}

/* The mark of all files that NAME's picture may be made of. */
static void inputs_mark(const char *folder, const char *name, char text[MARK_BYTES + 1]) {
  char pattern[PLOT_PATH];
  glob_t found = {0};
  XXH3_state_t *state = XXH3_createState();
  CHECK(state, "no memory for a hash");
  XXH3_64bits_reset(state);
  snprintf(pattern, sizeof pattern, "%.4000s/plots/%s.*", folder, name);
  glob(pattern, 0, NULL, &found);
  for (size_t i = 0; i < found.gl_pathc; i++) {
    const char *ending = strrchr(found.gl_pathv[i], '.');
    bool picture =
        ending && (!strcmp(ending, ".svg") || !strcmp(ending, ".png") || !strcmp(ending, ".part"));
    if (!picture) add_file(state, found.gl_pathv[i]);
  }
  globfree(&found);
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

bool picture_draw(const char *folder, const char *name, char path[PLOT_PATH], Error *error) {
  char text[MARK_BYTES + 1];
  inputs_mark(folder, name, text);
  snprintf(path, PLOT_PATH, "%.4000s/plots/%s.svg", folder, name);
  if (drawn(path, text)) return true;
  draw(folder, name, "png"); /* without pngcairo there is the SVG */
  if (!draw(folder, name, "svg"))
    return fail(error,
                "gnuplot did not draw %.4000s/plots/%s.gp; is gnuplot installed (apt install "
                "gnuplot-nox)?",
                folder, name);
  FILE *file = fopen(path, "a");
  if (file) fputs(text, file);
  return file && fclose(file) == 0 ? true : fail(error, "%s: cannot be written whole", path);
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
