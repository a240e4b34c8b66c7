"""Speed against other tools; `make bench` runs all and writes benchmarks/results/."""
