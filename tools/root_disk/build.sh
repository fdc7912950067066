#!/bin/sh
# Installs Debian packages into an ext4 image: build.sh PACKAGES ADDED DIRECTORY SIZE
#
# Runs as "root" of a user namespace that knows no other user, and under fakeroot, which remembers who owns what. So
# the packages' own scripts run as on any Debian, in a chroot from which they reach nothing of this machine, and
# neither root nor subordinate ids are needed.
set -e
umask 022
packages=$1 added=$2 root=$3/root image=$3/rootfs.ext4 size=$4
fakeroot_library=/usr/lib/$(uname -m)-linux-gnu/libfakeroot

# 1. Unpack, so that there is a dpkg. Programs and libraries live below /usr, as in every Debian of today.
mkdir -p "$root"
for name in bin sbin lib lib64; do
    mkdir -p "$root/usr/$name"
    ln -s "usr/$name" "$root/$name"
done
for package in "$packages"/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink \
        --exclude='./usr/share/info/*' --exclude='./usr/share/locale/*' --exclude='./usr/share/man/*' \
        --exclude='./usr/share/doc/*'
done
mkdir -p "$root/etc/dpkg/dpkg.cfg.d"
cp "$added/etc/dpkg/dpkg.cfg.d/small" "$root/etc/dpkg/dpkg.cfg.d/"

# 2. Let dpkg install the same packages, with their scripts.
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/mnt/packages" "$root$fakeroot_library"
: >"$root/var/lib/dpkg/status"
# fakeroot makes files that claim to be devices; the real ones lie over them meanwhile.
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
mknod -m 600 "$root/dev/console" c 5 1
for name in null zero random urandom; do
    mount --bind "/dev/$name" "$root/dev/$name"
done
mount --bind "$packages" "$root/mnt/packages"
mount --bind "$fakeroot_library" "$root$fakeroot_library"
# No service starts.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
# The order of so many packages at once is dpkg's business; it complains that some weren't configured before others.
env -i PATH=/usr/sbin:/usr/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive LD_PRELOAD="$LD_PRELOAD" \
    LD_LIBRARY_PATH="$LD_LIBRARY_PATH" FAKEROOTKEY="$FAKEROOTKEY" FAKEROOTDONTTRYCHOWN=1 \
    chroot "$root" sh -c 'exec dpkg --force-depends --force-unsafe-io --install /mnt/packages/*.deb'
unready=$(chroot "$root" dpkg --audit)
[ -z "$unready" ] || { echo "not installed: $unready" >&2; exit 1; }
rm "$root/usr/sbin/policy-rc.d"
umount "$root$fakeroot_library" "$root/mnt/packages"
for name in null zero random urandom; do
    umount "$root/dev/$name"
done
rmdir "$root$fakeroot_library" "$root/mnt/packages"

# 3. What makes a guest of it.
cp -r "$added/." "$root/"
find "$added" -type f -printf '%P\n' | while read -r name; do
    chmod u=rwX,go=rX "$root/$name"
done
. "$root/etc/os-release"
echo "deb http://deb.debian.org/debian $VERSION_CODENAME main" >"$root/etc/apt/sources.list"
find "$root/var/log" -name '*.log' -delete

# 4. The image, whose tables are all written, so that no guest does that in the background.
mke2fs -q -t ext4 -L rootfs -E lazy_itable_init=0,lazy_journal_init=0 -d "$root" "$image" "$size"
rm -r "$root"
