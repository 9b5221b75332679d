#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
#
# boot.sh: what a machine that booted with tests/boot/root, docs/boot.md's text and the units of
# packaging/systemd says of itself. Prints a line for each claim, and ends with the first that is not
# true. Runs in scripts/guest.sh --systemd.

readonly MESSAGE=/etc/fstab
export OPENSSL_CONF=/usr/share/vhsm/openssl.cnf.d/vhsm.cnf

# claim TEXT COMMAND...: whether the command is true.
claim() {
  local text=$1 said
  shift
  if said=$("$@" 2>&1); then
    echo "ok: $text"
  else
    echo "FAILED: $text: $*: $said"
    systemctl --failed --no-legend
    systemctl list-jobs --no-legend
    journalctl -b --no-pager -o short-monotonic -u 'vhsm*' -u 'systemd-cryptsetup@*' -u owner -u kbs -u web -u var-lib-data.mount
    exit 1
  fi
}
refused() { ! "$@"; }

# eventually SECONDS COMMAND...: whether the command becomes true in time.
eventually() {
  local left=$1
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$left" -gt 0 ] || return 1
    left=$((left - 1))
    sleep 1
  done
}

# property UNIT NAME: prints the value.
property() { systemctl show --value -p "$2" "$1"; }
is() { [ "$(property "$1" "$2")" = "$3" ] || { property "$1" "$2"; return 1; }; }
# said UNIT TEXT: whether the unit has logged it since the boot.
said() { journalctl -b -u "$1" --no-pager -o cat | grep -F -- "$2" || { journalctl -b -u "$1" --no-pager -o cat; return 1; }; }
# before UNIT OTHER: whether it was started first.
before() { [ "$(property "$1" ActiveEnterTimestampMonotonic)" -lt "$(property "$2" ActiveEnterTimestampMonotonic)" ]; }
main_process() { property vhsmd.service MainPID; }
# sees PATH: whether vhsmd can read the file, as its unit lets it see files.
sees() { cat "/proc/$(main_process)/root$1"; }
status_of_vhsmd() { grep -E "$1" "/proc/$(main_process)/status"; }

doctor_says() { vhsm doctor | grep "$1" || { vhsm doctor; return 1; }; }

verify() { openssl pkeyutl -verify -pubin -inkey /srv/www.pub -rawin -in $MESSAGE -sigfile "$1"; }
sign() {
  rm -f /run/signature
  openssl pkeyutl -sign -inkey vhsm:default/tls/www -rawin -in $MESSAGE -out /run/signature && verify /run/signature
}

the_machine() {
  timeout 150 systemctl is-system-running --wait >/dev/null
  claim "the machine is up and no unit has failed" systemctl is-system-running
}

the_volume() {
  claim "the KBS came up after it was asked first" before vhsm-secrets.service kbs.service
  claim "the volume was opened with its secret" said vhsm-secrets.service "gave vhsm:default/luks/data to volume data"
  claim "and after the KBS had come" before kbs.service systemd-cryptsetup@data.service
  claim "its file system is mounted" grep -E '^/dev/mapper/data /var/lib/data ext4 ' /proc/mounts
  claim "and can be written" sh -c 'echo dear reader >/var/lib/data/letter'
}

the_daemon() {
  claim "vhsmd is ready and says for what" is vhsmd.service StatusText "serves /run/vhsm/vhsmd.sock"
  claim "its user is not root" is vhsmd.service User vhsm
  claim "it has no capability" status_of_vhsmd '^CapEff:	0+$'
  claim "it has a system call filter" status_of_vhsmd '^Seccomp:	2$'
  claim "its keys are in secret memory" doctor_says memfd_secret
  claim "it can read which boot this is" sees /proc/sys/kernel/random/boot_id
  claim "a key was fetched before anyone asked for it" is "vhsm-fetch@vhsm:default-tls-www.service" ActiveState active
  claim "its key signs for root" sign
  claim "another user has no grant" refused systemctl start web.service
  claim "and is told so" said web.service default/tls/www
  claim "root grants it" vhsm key grant default/tls/www --user web
  claim "and the key signs for it, too" systemctl start web.service
  claim "whose signature verifies" verify /run/web/signature
  claim "and which has its credential" grep -x an-api-key /run/web/api-key
  by_unit
  kill -9 "$(main_process)"
  claim "a vhsmd that was killed is back for the next signature" sign
  claim "by systemd" is vhsmd.service NRestarts 1
}

the_tickets() {
  local file=/run/vhsm-tickets/current.key
  claim "the timer has written session ticket keys" eventually 60 test -s $file
  claim "of 80 bytes, root's alone" sh -c "stat -c '%s %a %U' $file | grep -x '80 600 root'"
}

# Linux 6.5 tells vhsmd for certain who has just connected (vhsmd(8), GRANTS).
by_unit() {
  case $(uname -r) in
    6.[0-4].*)
      echo "skipped: a grant for a unit whose program has just started: Linux $(uname -r)"
      return
      ;;
  esac
  claim "root grants the key to the unit instead" vhsm key revoke default/tls/www --user web
  claim "by its name" vhsm key grant default/tls/www --unit web.service
  claim "and the key signs for it" systemctl start web.service
}

close_volume() { systemctl stop var-lib-data.mount systemd-cryptsetup@data.service vhsm-secrets.service; }

the_volume_again() {
  mkdir /run/systemd/system/vhsm-secrets.service.d
  printf '[Service]\nEnvironment=VHSM_CONF=/etc/vhsm/embedded.cnf\n' >/run/systemd/system/vhsm-secrets.service.d/embedded.conf
  systemctl daemon-reload
  claim "the volume can be closed" close_volume
  claim "and is" refused test -e /dev/mapper/data
  systemctl stop kbs.service
  systemctl start --no-block var-lib-data.mount
  systemctl start kbs.service
  claim "it is opened again without vhsmd" eventually 60 systemctl is-active var-lib-data.mount
  claim "and has what was written" grep -x 'dear reader' /var/lib/data/letter
  claim "the audit file has the key's release" grep -F default/luks/data /var/log/vhsm/secrets.log
  claim "a volume whose key does not come out stays closed" refused systemctl start systemd-cryptsetup@denied.service
  claim "and it is said why" said vhsm-secrets.service default/tls/www
  claim "and nobody is asked for it" said systemd-cryptsetup@denied.service "disabled via 'headless' option"
}

the_watchdog() {
  claim "a vhsmd that hung was ended by the watchdog" eventually 60 said vhsmd.service "watchdog"
  claim "and another took its place" eventually 10 is vhsmd.service NRestarts 2
  claim "with which the key signs" sign
}

main() {
  systemctl --version | sed -n 1p
  the_machine
  the_volume
  the_daemon
  the_tickets
  kill -STOP "$(main_process)"
  the_volume_again
  the_watchdog
  claim "vhsmd exposes less than 2.0 of 10" systemd-analyze security --threshold=20 --no-pager vhsmd.service
  claim "no unit has logged a secret" refused sh -c 'journalctl -b --no-pager | grep an-api-key'
  systemd-analyze security --no-pager vhsmd.service | tail -n 1
}

main
