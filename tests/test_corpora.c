/* Inputs that a fuzzer has found or that are near to what it will (tests/fuzz): each is read to its
 * end, or refused with a sentence. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char input[512];

/* What ends the program ends it; but it has to say on what. */
static void name_input(int signal_number) {
  (void)!write(2, input, strlen(input));
  (void)!write(2, "\n", 1);
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

static void replay(FuzzTarget *target) {
  static uint8_t data[1 << 20];
  FILE *file = fopen(input, "rb");
  if (!file) fail_msg("%s: cannot be read", input);
  size_t bytes = fread(data, 1, sizeof data, file);
  fclose(file);
  target(data, bytes);
}

static int visible(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

static void replay_all(const char *name) {
  char folder[128];
  struct dirent **entry;
  snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", name);
  int count = scandir(folder, &entry, visible, alphasort);
  if (count < 3) fail_msg("%s: has %d inputs", folder, count);
  for (int i = 0; i < count; i++) {
    snprintf(input, sizeof input, "%s/%.250s", folder, entry[i]->d_name);
    replay(fuzz_target(name));
    free(entry[i]);
  }
  free(entry);
}

#define TARGET(name, most)                                                                         \
  static void name(void **state) {                                                                 \
    (void)state;                                                                                   \
    replay_all(#name);                                                                             \
  }
#include "tests/fuzz/targets.def"
#undef TARGET

int main(void) {
  const struct CMUnitTest tests[] = {
#define TARGET(name, most) cmocka_unit_test(name),
#include "tests/fuzz/targets.def"
#undef TARGET
  };
  signal(SIGABRT, name_input);
  signal(SIGSEGV, name_input);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
