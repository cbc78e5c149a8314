/* Lua source without what does not compute: comments and white space. Its tokens each on a line of
 * their own, so that texts are equal exactly when they are the same program, comments and layout
 * apart. Strings stay as they are written. */
#include "lua/bind.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* The "=" between the brackets of "[==[", -1: no long bracket begins here. */
static int long_level(const char *at) {
  size_t equals = at[0] == '[' ? strspn(at + 1, "=") : 0;
  return at[0] == '[' && at[1 + equals] == '[' ? (int)equals : -1;
}

/* Behind the "]==]" of that level; an unfinished one ends with the text. */
static const char *long_end(const char *at, int level) {
  for (at += level + 2; *at; at++)
    if (at[0] == ']' && (int)strspn(at + 1, "=") == level && at[1 + level] == ']')
      return at + level + 2;
  return at;
}

/* Behind the string that a quote begins; an unfinished one ends with its line. */
static const char *string_end(const char *at) {
  char quote = *at++;
  for (; *at && *at != quote && *at != '\n'; at++)
    if (at[0] == '\\' && at[1]) at++;
  return *at == quote ? at + 1 : at;
}

static bool of_word(char c) {
  return isalnum((unsigned char)c) || c == '_' || (c & 0x80);
}

static const char *word_end(const char *at) {
  while (of_word(*at)) at++;
  return at;
}

static const char *comment_end(const char *at) {
  int level = long_level(at + 2);
  return level >= 0 ? long_end(at + 2, level) : at + strcspn(at, "\n");
}

static const char *token_end(const char *at) {
  int level = long_level(at);
  if (level >= 0) return long_end(at, level);
  if (*at == '"' || *at == '\'') return string_end(at);
  return of_word(*at) ? word_end(at) : at + 1;
}

char *lua_tokens(const char *text) {
  char *tokens = malloc(2 * strlen(text) + 1), *to = tokens;
  CHECK(tokens, "no memory for a Lua source");
  if (!strncmp(text, "\xef\xbb\xbf", 3)) text += 3;
  while (*text) {
    const char *end = text + 1;
    if (text[0] == '-' && text[1] == '-') {
      end = comment_end(text);
    } else if (!isspace((unsigned char)*text)) {
      end = token_end(text);
      memcpy(to, text, (size_t)(end - text));
      to += end - text;
      *to++ = '\n';
    }
    text = end;
  }
  *to = 0;
  return tokens;
}
