"""Which images are drawn, and how often: an index, samplers, mixtures."""
