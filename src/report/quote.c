#include "src/report/quote.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static int plain(char c) {
  return (unsigned char)c < ' ' ? ' ' : c;
}

void quote_line(const char *text, FILE *out) {
  for (; *text; text++) fputc(plain(*text), out);
}

/* Brackets mean something where a link follows only; escaped everywhere they would be hard to
 * read. */
void quote_markdown(const char *text, FILE *out) {
  for (; *text; text++) {
    bool link = *text == '[' && strstr(text, "](");
    if (link || strchr("\\`*_<|~$&", *text)) fputc('\\', out);
    fputc(plain(*text), out);
  }
}

static bool is_word(const char *text) {
  const char *at = text;
  while (isalnum((unsigned char)*at) || (*at && strchr("_-+=:,./@%", *at)) || (*at & 0x80)) at++;
  return *text && !*at;
}

void quote_shell(const char *text, FILE *out) {
  if (is_word(text)) {
    fputs(text, out);
    return;
  }
  fputc('\'', out);
  for (; *text; text++) fputs(*text == '\'' ? "'\\''" : (char[]){*text, 0}, out);
  fputc('\'', out);
}
