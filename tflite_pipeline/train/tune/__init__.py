"""Training on the graph of the float reference: quantization-aware, pruning, clustering."""
