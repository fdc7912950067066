"""The main process: owns KVM, guest memory, boards, buses, QMP and the supervisor of device processes."""
