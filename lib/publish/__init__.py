"""A run made ready to be given away: a model card, weights, a configuration, and a network that ONNX runtimes read."""
