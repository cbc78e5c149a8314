/* Walking the list: nothing is decided and nothing is allocated here. */
#include "base/clock.h"
#include "engine/plan.h"
#include "kernels/cuda/absent_gpu.h"

void plan_run_node(const Plan *plan, const Node *node) {
  const Kernel *kernel = plan->backend->kernels[node->op];
  (node->call.backward ? kernel->backward : kernel->forward)(&node->call);
}

void plan_refresh(Plan *plan) {
  const Graph *graph = plan->graph;
  if (plan->constants_of == graph->params->changes) return;
  plan->constants_of = graph->params->changes;
  for (int i = 0; i < graph->node_count && graph->nodes[i]->constant; i++)
    plan_run_node(plan, graph->nodes[i]);
}

static void run_marked(Plan *plan) {
  const Device *device = plan->backend->device;
  int count = plan->graph->node_count;
  for (int i = 0; i < count; i++) {
    Node *node = plan->graph->nodes[i];
    int64_t before = gpu_launches;
    device->mark(i);
    if (!node->constant) plan_run_node(plan, node);
    node->launches = (int)(gpu_launches - before);
  }
  device->mark(count);
}

void plan_marks(Plan *plan) {
  for (int i = 0; i < plan->graph->node_count; i++)
    plan->graph->nodes[i]->seconds += plan->backend->device->between(i, i + 1);
}

void plan_run(Plan *plan, bool profile) {
  plan_refresh(plan);
  if (profile && plan->backend->device) {
    run_marked(plan);
    return;
  }
  for (int i = 0; i < plan->graph->node_count; i++) {
    Node *node = plan->graph->nodes[i];
    if (node->constant) continue;
    double start = profile ? seconds_now() : 0;
    plan_run_node(plan, node);
    if (profile) node->seconds += seconds_now() - start;
  }
}
