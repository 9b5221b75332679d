#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A passphrase, a key and an API key in the KBS, and a volume with the passphrase (docs/boot.md).
set -e
umask 077
mkdir -p /srv/kbs && cd /srv
vhsm-kbs --config kbs/vhsm-kbs.cnf init --host localhost --listen 127.0.0.1:8443 \
  --trust-test-root /etc/vhsm/snp/ark.pem --measurement any
cp kbs/ca.pem /etc/vhsm/
chmod 644 /etc/vhsm/ca.pem
put() { vhsm-kbs --config kbs/vhsm-kbs.cnf resource put "$@"; }

head -c 32 /dev/urandom >data.key
put default/luks/data data.key --releasable
truncate -s 20M data.img
losetup /dev/loop0 data.img
cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/loop0 data.key
cryptsetup open --key-file data.key /dev/loop0 new
/sbin/mke2fs -q -t ext4 /dev/mapper/new
cryptsetup close new
cp data.img denied.img
losetup /dev/loop1 denied.img
shred -u data.key

openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out www.key
openssl pkey -in www.key -pubout -out www.pub
put default/tls/www www.key
shred -u www.key
head -c 32 /dev/urandom >tickets.key
put default/key/tickets tickets.key
printf an-api-key | put default/api/key - --releasable
