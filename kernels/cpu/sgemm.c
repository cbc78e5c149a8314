#include "kernels/cpu/sgemm.h"
#include "base/error.h"
#include "kernels/cpu/processor.h"

#include <dnnl.h>

void gemm(int64_t rows, int64_t columns, int64_t inner, float alpha, Matrix a, Matrix b, float beta,
          float *c, int64_t c_step) {
  processor_libraries(); /* before the library looks for itself */
  dnnl_status_t status =
      dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', rows, columns, inner, alpha,
                 a.data, a.step, b.data, b.step, beta, c, c_step);
  CHECK(status == dnnl_success, "sgemm %lld x %lld x %lld: status %d", (long long)rows,
        (long long)columns, (long long)inner, (int)status);
}
