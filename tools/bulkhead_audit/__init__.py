"""The command bulkhead-audit: what each process of a running VM can reach, against what it is entitled to.

Main says over QMP what each process is and is entitled to; what it has is read from outside, in /proc. Where
a process has more, the audit says so.
"""
