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
    _check_paths(config)
    if config.devices or config.drives:
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


def _check_paths(config: VmConfig) -> None:
    """Of the files and sockets that this VM makes, no two may be one."""
    makes = [] if config.log_path is None else [(f"-D {config.log_path}", config.log_path)]
    if config.pidfile_path is not None:
        makes.append((f"-pidfile {config.pidfile_path}", config.pidfile_path))
    for chardev in config.chardevs:
        if chardev.path is not None and (chardev.server or chardev.backend == "file"):
            makes.append((chardev.asked_as, chardev.path))
    if len(makes) < 2:
        return  # without the module os, which a start can do without
    from os.path import abspath

    makers: dict[str, str] = {}
    for option, path in makes:
        if path.startswith("/dev/"):
            continue  # nothing is made there: a device, or a descriptor of -add-fd
        other = makers.setdefault(abspath(path), option)
        if other is not option:
            raise ConfigurationError(f"{option}: {other} has the same path; allowed is a path for each")
