/* Walking the list: nothing is decided and nothing is allocated here. */
#include "engine/plan.h"

#include <string.h>
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
    if (profile) node->seconds += now() - start;
  }
}

void plan_profile_print(const Plan *plan, int runs, FILE *out) {
  double seconds[OP_COUNT][2] = {0}, flops[OP_COUNT][2] = {0}, bytes[OP_COUNT][2] = {0}, total = 0;
  int uses[OP_COUNT][2] = {0};
  for (int i = 0; i < plan->graph->node_count; i++) {
    const Node *node = plan->graph->nodes[i];
    int back = node->call.backward;
    Cost cost = op_cost(&node->call);
    seconds[node->op][back] += node->seconds / runs;
    flops[node->op][back] += cost.flops;
    bytes[node->op][back] += cost.bytes;
    uses[node->op][back]++;
    total += node->seconds / runs;
  }
  fprintf(out, "%-18s %-8s %5s %10s %7s %9s %8s\n", "op", "pass", "nodes", "ms", "share", "GFLOP/s",
          "GB/s");
  for (;;) {
    int best = -1;
    for (int k = 0; k < 2 * OP_COUNT; k++)
      if (uses[k / 2][k % 2] && (best < 0 || seconds[k / 2][k % 2] > seconds[best / 2][best % 2]))
        best = k;
    if (best < 0) break;
    int op = best / 2, back = best % 2;
    double s = seconds[op][back];
    fprintf(out, "%-18s %-8s %5d %10.3f %6.1f%% %9.1f %8.1f\n", op_table[op]->name,
            back ? "backward" : "forward", uses[op][back], 1e3 * s, 100 * s / total,
            s > 0 ? flops[op][back] / s / 1e9 : 0, s > 0 ? bytes[op][back] / s / 1e9 : 0);
    uses[op][back] = 0;
  }
  fprintf(out, "%-18s %-8s %5d %10.3f\n", "total", "", plan->graph->node_count, 1e3 * total);
}
