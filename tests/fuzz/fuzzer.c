/* libFuzzer's side: FUZZ_TARGET names the target. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  static FuzzTarget *target;
  if (!target) {
    const char *name = getenv("FUZZ_TARGET");
    target = fuzz_target(name ? name : "");
    CHECK(target, "FUZZ_TARGET names no target: %s", name ? name : "");
  }
  target(data, bytes);
  return 0;
}
