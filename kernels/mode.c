#include "kernels/mode.h"

#include <string.h>

static const char *const names[] = {[TF32_OFF] = "off", [TF32_CONV] = "conv", [TF32_ON] = "on"};

KernelMode kernel_mode = {.tf32 = TF32_CONV};

bool tf32_parse(const char *text, Tf32 *tf32) {
  for (int i = TF32_OFF; i <= TF32_ON; i++) {
    if (strcmp(text, names[i])) continue;
    *tf32 = (Tf32)i;
    return true;
  }
  return false;
}

const char *tf32_name(Tf32 tf32) {
  return names[tf32];
}
