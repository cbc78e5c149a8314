#include "src/report/picture.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/store/environment.h"

void picture_label(FILE *out, const char *label) {
  for (; *label; label++) {
    if (strchr("_^{}@&~", *label)) fputs("\\\\", out);
    if (*label == '"' || *label == '\\') continue;
    fputc(*label == '\t' ? ' ' : *label, out);
  }
}

void picture_frame(FILE *out) {
  fputs("if (!exists(\"ending\")) ending = \"svg\"\n"
        "if (ending eq \"png\") set terminal pngcairo size 900,560 font \"Sans,13\" enhanced; \\\n"
        "else set terminal svg size 900,560 font \"Sans,14\" enhanced background \"white\"\n"
        "set border 3\nset tics nomirror out\nset grid ytics lt 1 lw 1 lc rgb \"#cccccc\"\n"
        "set key outside top center horizontal\n",
        out);
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

bool picture_draw(const char *folder, const char *name, char path[PLOT_PATH], Error *error) {
  snprintf(path, PLOT_PATH, "%.4000s/plots/%s.svg", folder, name);
  draw(folder, name, "png"); /* without pngcairo there is the SVG */
  if (draw(folder, name, "svg")) return true;
  return fail(error,
              "gnuplot did not draw %.4000s/plots/%s.gp; is gnuplot installed (apt install "
              "gnuplot-nox)?",
              folder, name);
}
