/* Which texts of a Lua file are the same program (lua_tokens), and what no Lua file is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lua/bind.h"

#include <cmocka.h> /* last: it makes a macro of `fail` */

static bool same(const char *a, const char *b) {
  char *left = lua_tokens(a), *right = lua_tokens(b);
  bool equal = strcmp(left, right) == 0;
  free(left);
  free(right);
  return equal;
}

static void comments_and_space_are_nothing(void **state) {
  (void)state;
  static const char *const pairs[][2] = {
      {"local a=1", "local   a\n=\t1 -- one\r\n"},
      {"return f{x,y}", "--[[ a\nlong ]] return --[==[ ]] ]==] f { x , y } --"},
      {"a = 1", "-- a = 2\na = 1"},
      {"a = 1", "--[=x no long bracket\na = 1"},
      {"a = b - c", "a=b-c--d"},
      {"a = 1", "\xef\xbb\xbf"
                "a = 1"},
      {"", " \n\t-- nothing --[[ \n"},
      {"x = t[ [[k]] ]", "x=t[ [[k]]]"},
      {"goto done ::done::", "goto done::done::"},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    if (!same(pairs[i][0], pairs[i][1])) fail_msg("%s | %s", pairs[i][0], pairs[i][1]);
}

static void all_else_is_another_program(void **state) {
  (void)state;
  static const char *const pairs[][2] = {
      {"a = 1", "a = 2"},
      {"local a", "locala"},
      {"a = 'x y'", "a = 'x  y'"},
      {"a = '-- x'", "a = '-- y'"},
      {"a = \"it's -- not \" b = 1", "a = \"it's -- not \" b = 2"},
      {"a = '\\' -- ' b = 1", "a = '\\' -- ' b = 2"},
      {"a = '\\\\' -- b", "a = '\\\\' b"},
      {"a = [[ x ]]", "a = [[ x]]"},
      {"a = [==[ ]] -- x ]==]", "a = [==[ ]] -- y ]==]"},
      {"a = [[\n-- x\n]]", "a = [[\n-- y\n]]"},
      {"--[[ x ]] a = 1", "--[[ x a = 1 ]]"},
      {"--[=x\na = 1", "--[=[\na = 1 ]=]"},
      {"a = \"x\\\n-- y\"", "a = \"x\\\n-- z\""},
      {"a = 'x'", "a = \"x\""},
      {"caf\xc3\xa9 = 1", "caf\xc3\xa8 = 1"},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    if (same(pairs[i][0], pairs[i][1])) fail_msg("%s | %s", pairs[i][0], pairs[i][1]);
}

/* Unfinished strings, brackets and escapes end with the text. */
static void no_text_is_read_beyond_its_end(void **state) {
  (void)state;
  static const char *const texts[] = {"'",        "\"a\\", "[==[ a ]=", "--[[",
                                      "--[=[ ]=", "[",     "--",        "a\\"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    char *copy = strdup(texts[i]), *tokens = lua_tokens(copy); /* valgrind sees a byte too far */
    assert_true(strlen(tokens) <= 2 * strlen(copy));
    free(tokens);
    free(copy);
  }
}

static void expect_refusal(const char *path, size_t bytes, const char *text, const char *why) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  for (size_t i = 0; i < bytes; i++) fputc(text[i % strlen(text)], file);
  if (!bytes) fwrite("return\0{}", 1, 9, file);
  fclose(file);
  Error error = {""};
  json_t *document;
  assert_false(experiment_read(".", path, 0, NULL, NULL, &document, &error));
  if (!strstr(error.text, why) || !strstr(error.text, path)) fail_msg("%s", error.text);
  unlink(path);
}

static void what_is_no_source_is_refused(void **state) {
  (void)state;
  char path[] = "/tmp/harness-source-XXXXXX";
  close(mkstemp(path));
  expect_refusal(path, 200 << 10, "-- ", "over 128 KiB");
  expect_refusal(path, 0, "", "zero byte");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(comments_and_space_are_nothing),
      cmocka_unit_test(all_else_is_another_program),
      cmocka_unit_test(no_text_is_read_beyond_its_end),
      cmocka_unit_test(what_is_no_source_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
