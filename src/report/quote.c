#include "src/report/quote.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

int utf8_length(const char *at) {
  const unsigned char *text = (const unsigned char *)at;
  static const unsigned char least[] = {0, 0, 0, 0xa0, 0x90}; /* of the second byte */
  unsigned char first = text[0];
  if (first < 0x80) return 1;
  int length = first >= 0xf5 ? 0 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  for (int i = 1; i < length; i++)
    if ((text[i] & 0xc0) != 0x80) return 0;
  bool overlong = (first == 0xe0 || first == 0xf0) && text[1] < least[length];
  bool beyond = (first == 0xed && text[1] >= 0xa0) || (first == 0xf4 && text[1] >= 0x90);
  return overlong || beyond ? 0 : length;
}

static int plain(char c) {
  return (unsigned char)c < ' ' ? ' ' : c;
}

void quote_line(const char *text, FILE *out) {
  for (; *text; text++) fputc(plain(*text), out);
}

/* Brackets mean something where a link follows only; escaped everywhere they would be hard to read.
 */
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
