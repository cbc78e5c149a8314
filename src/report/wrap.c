#include "src/report/wrap.h"

#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MOST = 80, LEAST = 40 };

int wrap_width(FILE *out) {
  struct winsize size = {0};
  int file = fileno(out);
  if (file < 0 || !isatty(file)) return 0;
  bool known = ioctl(file, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return !known || size.ws_col > MOST ? MOST : size.ws_col < LEAST ? LEAST : size.ws_col;
}

/* Characters, not bytes. */
static int width_of(const char *text, size_t bytes) {
  int count = 0;
  for (size_t i = 0; i < bytes; i++) count += ((unsigned char)text[i] & 0xc0) != 0x80;
  return count;
}

static void wrap_line(const char *line, size_t bytes, int width, FILE *out) {
  size_t indent = strspn(line, " ");
  int column = 0;
  for (size_t at = indent < bytes ? indent : bytes; at < bytes;) {
    size_t word = strcspn(line + at, " \n"), blanks = strspn(line + at + word, " ");
    int room = width_of(line + at, word);
    bool breaks = column > (int)indent + 2 && column + 1 + room > width;
    if (breaks) fputc('\n', out);
    if (breaks || column == 0) {
      column = (int)indent + (breaks ? 2 : 0);
      fprintf(out, "%*s", column, "");
    } else {
      fputc(' ', out);
      column++;
    }
    fwrite(line + at, 1, word, out);
    column += room;
    at += word + blanks;
  }
  fputc('\n', out);
}

void wrap_text(const char *text, int width, FILE *out) {
  if (!width) fputs(text, out);
  while (width && *text) {
    size_t bytes = strcspn(text, "\n");
    if (width_of(text, bytes) > width)
      wrap_line(text, bytes, width, out);
    else
      fprintf(out, "%.*s\n", (int)bytes, text);
    text += bytes + (text[bytes] == '\n');
  }
}
