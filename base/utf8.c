#define _GNU_SOURCE /* wcwidth */
#include "base/utf8.h"

#include <locale.h>
#include <string.h>
#include <wchar.h>

int utf8_length(const char *text) {
  static const unsigned char least[] = {0, 0, 0, 0xa0, 0x90}; /* of the second byte */
  const unsigned char *byte = (const unsigned char *)text, first = byte[0];
  if (first < 0x80) return 1;
  int length = first >= 0xf5 ? 0 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  for (int i = 1; i < length; i++)
    if ((byte[i] & 0xc0) != 0x80) return 0;
  bool overlong = (first == 0xe0 || first == 0xf0) && byte[1] < least[length];
  bool beyond = (first == 0xed && byte[1] >= 0xa0) || (first == 0xf4 && byte[1] >= 0x90);
  return overlong || beyond ? 0 : length;
}

char *utf8_shown(const char *text) {
  char *shown = malloc(3 * strlen(text) + 1), *to = shown;
  CHECK(shown, "no memory for a text");
  while (*text) {
    int length = utf8_length(text);
    if (!length) to += sprintf(to, "%%%02X", (unsigned char)*text++);
    for (int i = 0; i < length; i++) *to++ = *text++;
  }
  *to = 0;
  return shown;
}

/* The first character's number. */
static wchar_t number_of(const char *text, int length) {
  static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
  wchar_t number = (unsigned char)text[0] & first[length];
  for (int i = 1; i < length; i++) number = number << 6 | ((unsigned char)text[i] & 0x3f);
  return number;
}

/* By the C library's table, whatever the user's locale is. */
static int columns_of(wchar_t number) {
  static locale_t utf8;
  if (number < 0x300) return 1;
  if (!utf8) utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
  if (!utf8) return 1;
  locale_t before = uselocale(utf8);
  int columns = wcwidth(number);
  uselocale(before);
  return columns < 0 ? 1 : columns;
}

int utf8_width(const char *text, size_t bytes) {
  int width = 0, length;
  for (size_t i = 0; i < bytes; i += (size_t)length) {
    length = utf8_length(text + i);
    width += length ? columns_of(number_of(text + i, length)) : 1;
    if (!length) length = 1;
  }
  return width;
}

bool utf8_check(const char *name, Error *error) {
  const char *at = name;
  while (*at && utf8_length(at)) at += utf8_length(at);
  if (!*at) return true;
  const char *part = at;
  while (part > name && part[-1] != '/') part--;
  char *shown = utf8_shown(part);
  shown[strcspn(shown, "/")] = 0;
  fail(error,
       "%s: this name is not UTF-8 (byte %02X), which plans and results are stored in; rename it, "
       "or give a link to it that has another name",
       shown, (unsigned char)*at);
  free(shown);
  return false;
}
