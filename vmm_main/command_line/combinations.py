"""What options must be given together, and what excludes what: checked once all are read."""

from __future__ import annotations

from vmm_main.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.vm_config import VmConfig


def check_combinations(config: VmConfig) -> None:
    """Checks what no option can check alone.

    Raises:
        ConfigurationError: Two options contradict each other, or one needs another.
    """
    if config.kernel_path is None:
        raise ConfigurationError("-kernel: missing; it must name the kernel to boot")
    if config.pidfile_path is not None and not config.daemonize:
        raise ConfigurationError(f"-pidfile {config.pidfile_path}: allowed only together with -daemonize")
    _check_chardevs(config)
    if config.devices:
        from vmm_main.command_line.device_plans import plan_devices

        plan_devices(config)


def _check_chardevs(config: VmConfig) -> None:
    ids = [chardev.chardev_id for chardev in config.chardevs]
    known = f"there are {', '.join(ids)}" if ids else "there is none"
    users = [(config.qmp_asked_as[chardev_id], chardev_id) for chardev_id in config.qmp_chardev_ids]
    if config.serial_chardev_id is not None:
        users.insert(0, (f"-serial chardev:{config.serial_chardev_id}", config.serial_chardev_id))
    taken: dict[str, str] = {}
    for option, chardev_id in users:
        if chardev_id not in ids:
            raise ConfigurationError(
                f"{option}: no chardev has that id; allowed is a -chardev's id ({known})"
            )
        if chardev_id in taken:
            raise ConfigurationError(
                f"{option}: the chardev is taken by {taken[chardev_id]}; allowed is one user each"
            )
        taken[chardev_id] = option
    on_stdio = [chardev.asked_as for chardev in config.chardevs if chardev.backend == "stdio"]
    if len(on_stdio) > 1:
        raise ConfigurationError(
            f"{' and '.join(on_stdio)}: more than one wants standard input and output; allowed is one"
        )
    if on_stdio and config.daemonize:
        raise ConfigurationError(
            f"-daemonize: {on_stdio[0]} wants standard input and output, which a daemon hasn't; allowed are "
            "pty, socket and file"
        )
