#!/bin/sh
# The guest's start-up, run by busybox's init before the shell.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /run /tmp
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp

for module in $(cat /modules/order); do
    insmod "/modules/$module" || echo "guest: module $module doesn't load"
done

ip link set lo up
hostname guest
# Its default map turns the power button into a run of /etc/acpi/PWRF/00000080.
acpid
echo
echo "This is Linux $(uname -r) on $(nproc) CPUs. To end it: poweroff"
