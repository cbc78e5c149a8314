/* Where a step's time went: one line for every op and pass, or for a node, largest first. */
#include "engine/plan.h"

#include <math.h>

typedef struct Line {
  const char *name, *scope;
  bool backward;
  int nodes, launches;
  double seconds, flops, bytes, least; /* of one run; least: at the nearer ceiling */
} Line;

static int by_time(const void *a, const void *b) {
  const Line *x = a, *y = b;
  return x->seconds < y->seconds ? 1 : x->seconds > y->seconds ? -1 : 0;
}

static void add_node(Line *line, const Node *node, int runs, const Ceiling *ceiling) {
  Cost cost = op_cost(&node->call);
  line->name = node->call.op->name;
  line->scope = node->scope;
  line->backward = node->call.backward;
  line->nodes++;
  line->launches += node->launches;
  line->seconds += node->seconds / runs;
  line->flops += cost.flops;
  line->bytes += cost.bytes;
  line->least += fmax(cost.flops / ceiling->gflops, cost.bytes / ceiling->gbps) / 1e9;
}

static const char HEAD[] =
    "op                 pass     nodes         ms   share   GFLOP/s     GB/s   "
    "ceiling";

/* launches: shown where there are any. */
static void print_line(const Line *line, double total, const char *more, FILE *out) {
  double s = fmax(line->seconds, 1e-12);
  fprintf(out, "%-18s %-8s %5d %10.3f %6.1f%% %9.1f %8.1f %8.1f%%", line->name,
          line->backward ? "backward" : "forward", line->nodes, 1e3 * line->seconds,
          100 * line->seconds / total, line->flops / s / 1e9, line->bytes / s / 1e9,
          100 * line->least / s);
  if (line->launches) fprintf(out, " %8d", line->launches);
  fprintf(out, "%s%s\n", more[0] ? "  " : "", more);
}

static double total_seconds(const Graph *graph, int runs) {
  double total = 0;
  for (int i = 0; i < graph->node_count; i++) total += graph->nodes[i]->seconds / runs;
  return fmax(total, 1e-12);
}

void plan_profile_print(const Plan *plan, int runs, const Ceiling *ceiling, FILE *out) {
  Line lines[2 * OP_COUNT] = {0};
  double total = total_seconds(plan->graph, runs), least = 0;
  int launches = 0, once = 0;
  for (int i = 0; i < plan->graph->node_count; i++) {
    const Node *node = plan->graph->nodes[i];
    once += node->constant;
    if (node->constant) continue;
    add_node(&lines[2 * (int)node->op + node->call.backward], node, runs, ceiling);
    launches += node->launches;
  }
  for (int k = 0; k < 2 * OP_COUNT; k++) least += lines[k].least;
  qsort(lines, 2 * OP_COUNT, sizeof *lines, by_time);
  fprintf(out, "%s%s\n", HEAD, launches ? " launches" : "");
  for (int k = 0; k < 2 * OP_COUNT && lines[k].nodes; k++) print_line(&lines[k], total, "", out);
  fprintf(out, "%-18s %-8s %5d %10.3f %7s %9s %8s %8.1f%%", "graph", "",
          plan->graph->node_count - once, 1e3 * total, "", "", "", 100 * least / total);
  if (launches) fprintf(out, " %8d", launches);
  if (once)
    fprintf(out, "\n%d more nodes, %.3g GFLOP, ran once, before the first run", once,
            graph_cost_once(plan->graph).flops / 1e9);
  fprintf(out,
          "\nceiling: the share of what %.0f GFLOP/s and %.1f GB/s, the nearer of both, allow\n",
          ceiling->gflops, ceiling->gbps);
}

void plan_profile_nodes(const Plan *plan, int runs, const Ceiling *ceiling, int rows, FILE *out) {
  int count = plan->graph->node_count;
  Line *lines = calloc((size_t)count + 1, sizeof *lines);
  CHECK(lines, "no memory for %d nodes", count);
  for (int i = 0; i < count; i++) add_node(&lines[i], plan->graph->nodes[i], runs, ceiling);
  qsort(lines, (size_t)count, sizeof *lines, by_time);
  for (int k = 0; k < count && k < rows; k++)
    print_line(&lines[k], total_seconds(plan->graph, runs), lines[k].scope, out);
  free(lines);
}
