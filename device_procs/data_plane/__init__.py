"""The data plane in plain C: guest memory, virtqueues, worker threads. All devices' C is built into it."""
