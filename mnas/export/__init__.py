"""What leaves a search: specs, block strings, weights, ONNX."""
