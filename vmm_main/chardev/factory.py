"""Opens the back end that a -chardev asks for; each kind is imported only when it is asked for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.chardev.backend import ChardevBackend
    from vmm_main.event_loop import EventLoop
    from vmm_main.fd_sets import FdSets
    from vmm_main.vm_config import ChardevConfig


def open_chardev(config: ChardevConfig, loop: EventLoop, fd_sets: FdSets) -> ChardevBackend:
    """Opens one back end.

    Raises:
        ConfigurationError: What it is asked to open can't be used.
    """
    if config.backend == "stdio":
        from vmm_main.chardev.stdio import StdioChardev

        return StdioChardev(config, loop)
    if config.backend == "pty":
        from vmm_main.chardev.pseudo_terminal import PtyChardev

        return PtyChardev(config, loop)
    if config.backend == "socket":
        from vmm_main.chardev.unix_socket import SocketChardev

        return SocketChardev(config, loop)
    if config.backend == "file":
        from vmm_main.chardev.file import FileChardev

        return FileChardev(config, loop, fd_sets)
    raise ValueError(f"no chardev back end {config.backend!r}")
