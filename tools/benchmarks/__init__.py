"""The command `tools/bench`: what a VM of Bulkhead costs, measured beside other VMMs (docs/benchmarks.md)."""
