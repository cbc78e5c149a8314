/* Walking the list: nothing is decided and nothing is allocated here. */
#include "engine/plan.h"

#include <time.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void run_node(const Plan *plan, const Node *node) {
  const Kernel *kernel = plan->backend->kernels[node->op];
  (node->call.backward ? kernel->backward : kernel->forward)(&node->call);
}

void plan_run(Plan *plan, bool profile) {
  for (int i = 0; i < plan->graph->node_count; i++) {
    Node *node = plan->graph->nodes[i];
    if (node->call.op->flags & OP_CONSTANT) continue;
    double start = profile ? now() : 0;
    run_node(plan, node);
    if (profile && plan->backend->device) plan->backend->device->wait();
    if (profile) node->seconds += now() - start;
  }
}
