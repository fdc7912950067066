"""Commands for people who work with a checkout: the box, the guest's image, first boot, tests, benchmarks."""
