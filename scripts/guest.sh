#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# guest.sh [OPTION...] PROGRAM [ARGUMENT...]: runs a program of a build tree in an emulated machine with a
# kernel of this Debian, for what few machines have: protection keys (pkeys(7)). Prints what the program
# prints and ends with its status (128 + n after signal n); 124 when the time is over, 125 when the
# machine fails.
#   --cpu MODEL         of qemu-system-x86_64 -cpu help; default: max, and it must have protection keys.
#                       max,-pku is the same machine without them
#   --cpus N            processors (2)
#   --memory MB         (1024); holds the files too
#   --timeout SECONDS   for all of it (300)
#   --env NAME=VALUE    of the program; the guest has no other variable of this environment
#   --with PATH         a file or folder that the program loads or reads, with the libraries it needs
#   --package NAME      files of a package that is installed here, without its documentation, likewise
#   --root FOLDER       whose files lie in the guest as they lie in it, likewise
#   --systemd PATH      in the guest, of a --package: the first process, and the program is a service of it. Below
#                       /tmp nothing outlasts its start
#   --module NAME       of Debian's kernel, loaded before the program, with those it depends on
#   --kernel FILE       instead of Debian's, which is downloaded once into build/guest, not installed
#   --kernel-args TEXT  more words for the kernel's command line
# Needs the packages GUEST_PACKAGES of packages.sh.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
readonly ROOT KERNELS=$ROOT/build/guest
CPU=max CPUS=2 MEMORY=1024 TIMEOUT=300 KERNEL='' KERNEL_ARGS='' VARIABLES=() FILES=() PACKAGES=() ROOTS=() MODULES=()
FOLDER=$(mktemp -d "${TMPDIR:-/tmp}/vhsm-guest.XXXXXX")
QEMU='' RELEASE='' SYSTEMD=''

clean_up() {
  if [ -n "$QEMU" ]; then
    kill "$QEMU" 2>/dev/null || true
    wait "$QEMU" 2>/dev/null || true
  fi
  rm -rf "$FOLDER"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# fail TEXT [STATUS]: ends with TEXT and the last words of the guest's kernel.
fail() {
  echo "guest.sh: $1" >&2
  if [ -s "$FOLDER/kernel.log" ]; then
    echo "the guest's kernel said:" >&2
    tail -n 40 "$FOLDER/kernel.log" | tr -d '\r' >&2
  fi
  exit "${2:-125}"
}

# Prints the release of this Debian's kernel, which is in build/guest then, with its modules. Its package is
# not installed: that would make an initrd.
debian_kernel() {
  local package release
  package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
  [ -n "$package" ] || fail "apt knows no package linux-image-cloud-amd64: apt-get update"
  release=${package#linux-image-}
  if [ ! -e "$KERNELS/$release" ]; then
    mkdir -p "$FOLDER/package" "$FOLDER/$release" "$KERNELS"
    (cd "$FOLDER/package" && apt-get download -q "$package") >"$FOLDER/package.log" 2>&1 ||
      { cat "$FOLDER/package.log" >&2; fail "$package cannot be downloaded"; }
    dpkg-deb --fsys-tarfile "$FOLDER"/package/*.deb |
      tar -x -C "$FOLDER/$release" --wildcards --transform 's,^\./usr/,./,' './boot/vmlinuz-*' './*lib/modules/*'
    busybox depmod -b "$FOLDER/$release" "$release"
    mv "$FOLDER/$release" "$KERNELS/"
  fi
  echo "$release"
}

# Those of MODULES that the kernel has not within it, and what they depend on, where modprobe(8) looks; and
# a list of them.
add_modules() {
  local folder=lib/modules/$RELEASE name pattern files
  : >"$FOLDER/root/guest/modules"
  [ ${#MODULES[@]} != 0 ] || return 0
  mkdir -p "$FOLDER/root/$folder"
  for name in "${MODULES[@]}"; do
    pattern="^[^ :]*/${name//[-_]/[-_]}\.ko"
    grep -q "$pattern" "$KERNELS/$RELEASE/$folder/modules.builtin" && continue
    files=$(sed -n "\,${pattern}[.a-z]*:,s,:,,p" "$KERNELS/$RELEASE/$folder/modules.dep")
    [ -n "$files" ] || fail "$RELEASE has no module $name"
    # shellcheck disable=SC2086  # a list of files
    (cd "$KERNELS/$RELEASE/$folder" && cp --parents $files "$FOLDER/root/$folder/")
    echo "$name" >>"$FOLDER/root/guest/modules"
  done
  busybox depmod -b "$FOLDER/root" "$RELEASE"
}

# add PATH: copies a file or folder to where it is here.
add() {
  mkdir -p "$FOLDER/root$(dirname "$1")"
  cp -RL "$1" "$FOLDER/root$(dirname "$1")/"
}

# add_package NAME: its files and symbolic links.
add_package() {
  dpkg-query -L "$1" >"$FOLDER/files" || fail "the package $1 is not installed"
  sed -E '/^.usr.share.(doc|man|locale|lintian)(.|$)/d; s,^/,,' "$FOLDER/files" |
    tar -c -C / --no-recursion -T - | tar -x -C "$FOLDER/root" --keep-directory-symlink
}

# The shared libraries of all programs that are there.
add_libraries() {
  local path library
  find "$FOLDER/root" -type f \( -perm /111 -o -name '*.so*' \) | while read -r path; do ldd "$path" 2>/dev/null || true; done |
    sed -nE 's/^\t(.* => )?(\/[^ ]+) .*/\2/p' | sort -u | while read -r library; do
      [ -e "$FOLDER/root$library" ] || add "$library"
    done
}

# The first process; systemd takes its place if it is to.
write_init() {
  cat >"$FOLDER/root/init" <<'END'
#!/bin/busybox sh
/bin/busybox mkdir -p /bin /dev /etc /proc /root /run /sys /tmp
/bin/busybox --install -s /bin 2>/dev/null
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mkdir -p /dev/shm
mount -t tmpfs none /dev/shm
chmod 1777 /tmp
printf 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >/etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' >/etc/group
hostname guest
ifconfig lo up
if ! xargs -r modprobe -a </guest/modules; then
  echo "<0>guest: not all modules" >/dev/kmsg
  reboot -f
fi
[ ! -e /guest/systemd ] || exec "$(cat /guest/systemd)"
exec sh /guest/start
END
  chmod 755 "$FOLDER/root/init"
}

# The program has the second serial port for itself; what became of it goes to the kernel's log, which is
# printed at once and on the first port.
write_start() {
  cat >"$FOLDER/root/guest/start" <<'END'
say() { echo "<0>guest: $1" >/dev/kmsg; }
exec 3>/dev/ttyS1
stty -F /dev/ttyS1 115200 -opost -echo
if [ -e /guest/needs_keys ] && ! grep -qw ospke /proc/cpuinfo; then
  say "no protection keys"
else
  cd /tmp
  sh /guest/command </dev/null >&3 2>&3
  status=$?
  exec 3>&-
  say "status $status"
fi
reboot -f
END
}

# A service that starts as soon as services do. systemd takes a machine without an identity for one that
# boots for the first time, and asks questions.
write_service() {
  local units=$FOLDER/root/etc/systemd/system
  echo "$SYSTEMD" >"$FOLDER/root/guest/systemd"
  mkdir -p "$units/multi-user.target.wants"
  printf '[Service]\nExecStart=sh /guest/start\n' >"$units/guest.service"
  ln -s ../guest.service "$units/multi-user.target.wants/"
  tr -d - </proc/sys/kernel/random/uuid >"$FOLDER/root/etc/machine-id"
  KERNEL_ARGS+=" systemd.unit=multi-user.target systemd.mask=getty.target systemd.mask=ldconfig.service"
}

# pack PROGRAM [ARGUMENT...]: the guest's files, in FOLDER/initrd.
pack() {
  local path
  mkdir -p "$FOLDER"/root/{guest,usr/{bin,sbin,lib,lib64}}
  for path in bin sbin lib lib64; do ln -s "usr/$path" "$FOLDER/root/$path"; done
  cp /bin/busybox "$FOLDER/root/bin/"
  for path in "${PACKAGES[@]}"; do add_package "$path"; done
  for path in "${ROOTS[@]}"; do cp -RP "$path/." "$FOLDER/root/"; done
  for path in "${FILES[@]}" "$1"; do add "$path"; done
  add_libraries
  add_modules
  if [ "$CPU" = max ]; then touch "$FOLDER/root/guest/needs_keys"; fi
  {
    [ ${#VARIABLES[@]} = 0 ] || printf 'export %q\n' "${VARIABLES[@]}"
    printf 'exec'
    printf ' %q' "$@"
    echo
  } >"$FOLDER/root/guest/command"
  write_init
  write_start
  [ -z "$SYSTEMD" ] || write_service
  (cd "$FOLDER/root" && find . | cpio -o -H newc -R 0:0 --quiet) >"$FOLDER/initrd"
}

# The TSC runs on while the emulator does not: a guest that trusts it has a clock that jumps.
boot() {
  local args="console=ttyS0 quiet panic=-1 oops=panic mitigations=off nokaslr cryptomgr.notests tsc=unstable"
  timeout --kill-after=10 "$TIMEOUT" qemu-system-x86_64 -M pc -accel tcg,thread=multi -cpu "$CPU" -smp "$CPUS" \
    -m "$MEMORY" -nodefaults -no-user-config -display none -no-reboot -kernel "$KERNEL" -initrd "$FOLDER/initrd" \
    -append "$args secretmem.enable=1 $KERNEL_ARGS" -serial "file:$FOLDER/kernel.log" \
    -chardev stdio,id=output,signal=off -serial chardev:output </dev/null &
  QEMU=$!
  local status=0
  wait "$QEMU" || status=$?
  QEMU=
  return $status
}

# absolute FILE
absolute() { readlink -e "$1" || fail "no file $1" 2; }

main() {
  local option
  while [[ ${1-} == --* ]]; do
    option=$1
    [ $# -ge 2 ] || fail "$option takes a value" 2
    case $option in
      --cpu) CPU=$2 ;;
      --cpus) CPUS=$2 ;;
      --memory) MEMORY=$2 ;;
      --timeout) TIMEOUT=$2 ;;
      --env) VARIABLES+=("$2") ;;
      --with) FILES+=("$(absolute "$2")") ;;
      --package) PACKAGES+=("$2") ;;
      --root) ROOTS+=("$(absolute "$2")") ;;
      --systemd) SYSTEMD=$2 ;;
      --module) MODULES+=("$2") ;;
      --kernel) KERNEL=$(absolute "$2") ;;
      --kernel-args) KERNEL_ARGS=$2 ;;
      *) fail "no option $option" 2 ;;
    esac
    shift 2
  done
  [ $# -ge 1 ] || fail "which program?" 2
  local program status=0
  program=$(absolute "$1")
  shift
  for option in qemu-system-x86_64 busybox cpio; do
    command -v $option >/dev/null || fail "no $option here"
  done
  if [ -z "$KERNEL" ]; then
    RELEASE=$(debian_kernel)
    KERNEL=$KERNELS/$RELEASE/boot/vmlinuz-$RELEASE
  fi
  [ ${#MODULES[@]} = 0 ] || [ -n "$RELEASE" ] || fail "modules are of Debian's kernel: without --kernel" 2
  pack "$program" "$@"
  boot || status=$?
  [ $status != 124 ] || fail "not done in $TIMEOUT s" 124
  [ $status = 0 ] || fail "the emulator ended with status $status"
  status=$(tr -d '\r' <"$FOLDER/kernel.log" | sed -nE 's/^(\[[^]]*\] )?guest: status ([0-9]+)$/\2/p')
  [ -n "$status" ] || fail "the guest ended before the program did"
  return "$status"
}

main "$@"
