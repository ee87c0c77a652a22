#!/bin/busybox sh
# The first process of a kernel under test. What it prints on the second serial line is read by `cargo xtask kernels`.
/bin/busybox mkdir -p /bin /sbin
/bin/busybox --install -s /bin
export PATH=/sbin:/bin HOME=/ TMPDIR=/tmp RUST_BACKTRACE=0
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t bpf bpf /sys/fs/bpf
exec >/dev/ttyS1 2>&1 </dev/null
stty -F /dev/ttyS1 raw 2>/dev/null
for module in /modules/*.ko; do insmod "$module" || echo "kernel: module $module is refused"; done
ip link set lo up
echo "kernel: release $(uname -r)"

socket=/tmp/foobar.sock
/tests/foobar-under-test run --state /tmp/state --socket $socket --pin-dir /sys/fs/bpf/start >/tmp/start.log 2>&1 &
daemon=$!
patience=600
while kill -0 $daemon 2>/dev/null && [ ! -S $socket ] && [ $patience -gt 0 ]; do sleep 0.2; patience=$((patience - 1)); done
if kill -0 $daemon 2>/dev/null; then
    echo "kernel: starts"
    kill $daemon
    wait $daemon 2>/dev/null
    export FOOBAR_FRAMES=@FRAMES@
    for suite in @SUITES@; do
        echo "kernel: suite $suite"
        /tests/$suite --test-threads=2 --nocapture
        echo "kernel: ended $suite $?"
    done
else
    wait $daemon
    echo "kernel: refused with $?"
    sed 's/^/kernel: said /' /tmp/start.log
fi
echo "kernel: done"
sync
poweroff -f
