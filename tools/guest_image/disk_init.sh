#!/bin/sh
# The first program of a guest with a root disk: loads the drivers, then goes over to what root= names, as the
# kernel's own code would if its drivers weren't modules.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

give_up() {
    echo "initramfs: $1"
    echo "initramfs: block devices: $(ls /sys/class/block | xargs)"
    export PS1='initramfs# '
    exec cttyhack sh
}

for module in $(cat /modules/order); do
    insmod "/modules/$module" || echo "initramfs: module $module doesn't load"
done

mode=ro
init=/sbin/init
for word in $(cat /proc/cmdline); do
    case $word in
    root=*) root=${word#root=} ;;
    rootfstype=*) type=${word#rootfstype=} ;;
    rootflags=*) flags=,${word#rootflags=} ;;
    init=*) init=${word#init=} ;;
    ro | rw) mode=$word ;;
    esac
done
case $root in
'') give_up "the kernel command line has no root=" ;;
UUID=* | LABEL=*) device=$(findfs "$root") ;;
*) device=$root ;;
esac
[ -b "$device" ] || give_up "root=$root isn't a block device of this guest"
# shellcheck disable=SC2086 (no type is no argument)
mount ${type:+-t $type} -o "$mode$flags" "$device" /mnt || give_up "root=$root can't be mounted"
[ -x "/mnt$init" ] || [ -L "/mnt$init" ] || give_up "root=$root has no $init"
for directory in proc sys dev; do
    mount -o move /$directory /mnt/$directory
done
exec switch_root -c /dev/console /mnt "$init"
