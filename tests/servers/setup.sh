#!/bin/sh
# Prepares the test container before its boot: a certificate authority that it trusts, the servers' configuration,
# the accounts that a package of ours would create.
set -eu
cd /tests/servers

# Each server has an address of its own, so that all can use the standard ports.
cat hosts >> /etc/hosts
echo verona > /etc/hostname
# No name server: look-ups of anything else fail at once.
echo 'nameserver 127.0.0.1' > /etc/resolv.conf

tls=/etc/test-tls
mkdir -p $tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj '/CN=Verona test authority' \
    -keyout $tls/authority.key -out /usr/local/share/ca-certificates/verona.crt 2>/dev/null
for server in prosody ejabberd chat; do
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$server.test" \
        -keyout $tls/$server.key -out $tls/$server.csr 2>/dev/null
    echo "subjectAltName=DNS:$server.test,DNS:*.$server.test" |
        openssl x509 -req -days 3650 -in $tls/$server.csr -extfile /dev/stdin -out $tls/$server.crt \
            -CA /usr/local/share/ca-certificates/verona.crt -CAkey $tls/authority.key -CAcreateserial 2>/dev/null
    cat $tls/$server.key $tls/$server.crt > $tls/$server.pem
    # Who runs chat.test does not exist yet; the scenarios make copies.
    [ "$server" = chat ] || chown "$server:" $tls/$server.*
done
update-ca-certificates >/dev/null 2>&1

# For those who meet a server as Debian installs it.
cp /etc/prosody/prosody.cfg.lua /etc/prosody/prosody.cfg.lua.debian
install -m 644 prosody.cfg.lua /etc/prosody/prosody.cfg.lua
install -m 640 -o ejabberd -g ejabberd ejabberd.yml /etc/ejabberd/ejabberd.yml
install -m 644 ngircd.conf /etc/ngircd/ngircd.conf

# Every message of a run is kept until its end, however fast it comes.
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n' > /etc/systemd/journald.conf.d/tests.conf

# dpkg would have done it.
journalctl --update-catalog

if [ -e /usr/lib/sysusers.d/spectrum2.conf ]; then
    systemd-sysusers spectrum2.conf
fi
