"""Quickstart: a first boot of the guest under Bulkhead, by a person or by a script."""
