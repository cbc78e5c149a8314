#include "kernels/op_case.h"

const OpCase max_pool_cases[] = {
#include "kernels/pool_cases.def"
};
