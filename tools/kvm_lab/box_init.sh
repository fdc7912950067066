#!/bin/busybox sh
# PID 1 of the box, first half: from the initramfs to the host's root. Lines that begin with "BOX: " are the
# heartbeat that the outer side waits for (box_run.py).
export PATH=/bin

give_up() {
    echo "BOX: failed: $*"
    poweroff -f
}

mount -t devtmpfs devtmpfs /dev || give_up "no devtmpfs"
exec >/dev/console 2>&1 </dev/null
mount -t proc proc /proc
mount -t sysfs sysfs /sys
echo "BOX: kernel is up"

for module in $(cat /modules/order); do
    insmod "/modules/$module" || give_up "module $module doesn't load"
done

# The host's root, read-only, under an overlay that takes the writes. It becomes the root by moving the mount:
# after a plain chroot the kernel refuses user namespaces.
mkdir -p /lower /upper /newroot
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro hostroot /lower ||
    give_up "the host's root can't be mounted"
mount -t tmpfs -o size=60% upper /upper
mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /newroot ||
    give_up "no overlay on the host's root"
mkdir -p /newroot/proc /newroot/sys /newroot/dev /newroot/run /newroot/scratch
mount -t tmpfs -o mode=755 run /newroot/run
mkdir /newroot/run/kvm_lab
cp /bin/busybox /box_command.sh /newroot/run/kvm_lab/
umount /proc /sys
mount -o move /dev /newroot/dev
exec switch_root /newroot /run/kvm_lab/busybox sh /run/kvm_lab/box_command.sh
give_up "the host's root can't be made the root"
