"""The control protocol between main and device processes: typed messages, closed schemas, owned descriptors.

Imports neither side.
"""
