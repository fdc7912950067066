# PID 1 of the box, second half, on the host's root: mounts, the command, its status, power off. PID 1 reaps
# because this shell's `wait` waits for any child. Only busybox and tar are used: the host's
# own tools may be anywhere.
lab=/run/kvm_lab
share=$lab/share
box() { command=$1; shift; "$lab/busybox" "$command" "$@"; }

power_off() {
    box sync
    box poweroff -f
}
give_up() {
    echo "BOX: failed: $*"
    power_off
}

exec >/dev/console 2>&1 </dev/null
box mount -t proc proc /proc
box mount -t sysfs sysfs /sys
box mkdir -p /dev/pts /dev/shm /sys/fs/cgroup "$share"
box mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
box mount -t tmpfs -o mode=1777 shm /dev/shm
box mount -t cgroup2 cgroup2 /sys/fs/cgroup
box mount -t securityfs securityfs /sys/kernel/security
box mount -t tracefs tracefs /sys/kernel/tracing
[ -e /dev/fd ] || box ln -s /proc/self/fd /dev/fd
for stream in 0:stdin 1:stdout 2:stderr; do
    [ -e "/dev/${stream#*:}" ] || box ln -s "/proc/self/fd/${stream%:*}" "/dev/${stream#*:}"
done
# As Debian's udev rules do for the groups of people who may use them: everybody in here may.
box chmod 666 /dev/kvm /dev/net/tun /dev/vhost-net /dev/vhost-vsock || give_up "there is no KVM in here"
box mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=none share "$share" ||
    give_up "the share can't be mounted"
number=0
while read -r directory; do
    box mkdir -p "$directory"
    box mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=none "writable$number" "$directory" ||
        give_up "$directory can't be mounted"
    number=$((number + 1))
done <"$share/writable"
box mount -t ext4 /dev/vda /scratch || give_up "the scratch disk can't be mounted"
box ip link set lo up
box hostname kvm-lab

# A port reads as ended until the host's side is connected, so the first line of each input is a greeting.
port() {
    until set -- "$1" /dev/vport*"p$1" && [ -c "$2" ]; do box usleep 10000; done
    echo "$2"
}
greeted() { until read -r greeting; do box usleep 10000; done; }
exec 8<"$(port 4)"
greeted <&8

. "$share/settings"  # terminal=yes|no rows= columns=
echo "BOX: command starts"

# What the outer side asks for while the command runs.
while read -r request one two; do
    case $request in
    window) box stty -F /dev/hvc0 rows "$one" cols "$two" ;;
    terminate)
        until [ -s "$lab/pid" ]; do box usleep 10000; done
        read -r pid <"$lab/pid"
        kill -TERM "-$pid"
        box sleep "$one"
        kill -KILL "-$pid"
        ;;
    esac
done <&8 &
exec 8<&-

# The command runs in the foreground of this shell, because a shell makes background jobs ignore SIGINT.
start="echo \$\$ >$lab/pid; exec $lab/busybox sh $share/command"
if [ "$terminal" = yes ]; then
    until [ -c /dev/hvc0 ]; do box usleep 10000; done
    exec 9<>/dev/hvc0
    box stty -F /dev/hvc0 sane
    # The first opening of the device makes the kernel set the size that QEMU tells, 0 by 0, a little later.
    until [ "$(box stty -F /dev/hvc0 size)" = "$rows $columns" ]; do
        box usleep 10000
        box stty -F /dev/hvc0 rows "$rows" cols "$columns"
    done
    copiers=
    box setsid -c "$lab/busybox" sh -c "$start" <&9 >&9 2>&9 9>&-
    status=$?
else
    # Pipes in between, because a port can be opened only once: a command may well write to /dev/stderr.
    exec 7<"$(port 1)"
    greeted <&7
    box mkfifo "$lab/stdin" "$lab/stdout" "$lab/stderr"
    # Both ends at once first: opening one alone waits for the other, and a child's end would interrupt that.
    # No functions here: a function that redirects keeps the old descriptors open meanwhile.
    exec 4<>"$lab/stdin" 5<>"$lab/stdout" 6<>"$lab/stderr"
    exec 9>"$lab/stdin"
    "$lab/busybox" cat <&7 >&9 4>&- 5>&- 6>&- 9>&- &
    exec 9<"$lab/stdout"
    "$lab/busybox" cat <&9 >"$(port 2)" 4>&- 5>&- 6>&- 7<&- 9<&- &
    copiers=$!
    exec 9<"$lab/stderr"
    "$lab/busybox" cat <&9 >"$(port 3)" 4>&- 5>&- 6>&- 7<&- 9<&- &
    copiers="$copiers $!"
    exec 7<"$lab/stdin" 8>"$lab/stdout" 9>"$lab/stderr"
    exec 4>&- 5>&- 6>&-
    "$lab/busybox" setsid "$lab/busybox" sh -c "$start" <&7 >&8 2>&9 7<&- 8>&- 9>&-
    status=$?
    exec 7<&- 8>&- 9>&-
fi

# Whoever is left would keep the pipes open: with them gone, the copiers see the end and everything was written.
for process in /proc/[0-9]*; do
    process=${process#/proc/}
    case " 1 $copiers " in
    *" $process "*) ;;
    *) kill -KILL "$process" 2>/dev/null ;;
    esac
done
for copier in $copiers; do wait "$copier"; done

while read -r path; do
    if [ -e "$path" ] || [ -L "$path" ]; then
        echo "${path#/}"
    else
        echo "$path" >>"$share/missing"
    fi
done <"$share/bring_back" >"$lab/found"
# By its path, since busybox's tar has no -T, and this shell prefers busybox's commands.
if [ -s "$lab/found" ]; then
    /bin/tar -c -f "$share/brought_back.tar" -C / -T "$lab/found" || give_up "tar can't gather the files to bring back"
fi
echo "$status" >"$share/status"
echo "BOX: command ended with status $status"
power_off
