#include "src/train/network.h"
#include "src/train/config.h"

Graph *network_build(const json_t *config, int channels, const Labelling *labelling, bool training,
                     Params *params, Model *model, Error *error) {
  ModelShape shape = {.batch = training ? (int)config_int(config, "batch") : 1,
                      .channels = channels,
                      .classes = labelling_classes(labelling),
                      .regions = labelling->regions > 0,
                      .training = training};
  config_triple(config, "patch", shape.patch);
  Graph *graph = graph_make(params);
  if (model_build(config_text(config, "home"), config, &shape, graph, model, error) &&
      (!training || graph_backward(graph, model->loss)))
    return graph;
  fail(error, "%s", graph->error.text);
  graph_free(graph);
  return NULL;
}
