#include "kernels/op_case.h"

const OpCase avg_pool_cases[] = {
#include "kernels/pool_cases.def"
};
