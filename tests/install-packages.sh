#!/bin/sh
# Installs those of the named Debian packages that are missing, and nothing else changes: no service is started.
set -eu

missing=
for package in "$@"; do
    case $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true) in
        installed) ;;
        *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "These Debian packages are missing, and only root can install them: apt-get install$missing" >&2
    exit 77
fi

echo "Installing$missing" >&2
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
words=$(mktemp)
if ! { apt-get --quiet update && apt-get --quiet --yes --no-install-recommends install $missing; } >"$words" 2>&1; then
    cat "$words" >&2
    rm -f "$words"
    echo "Debian packages cannot be installed; apt-get's own words are above." >&2
    exit 69
fi
rm -f "$words"
# Installed to be tested with, not to be run: should this machine have systemd, they stay off after its next start too.
for service in prosody ngircd; do
    case " $missing " in
        *" $service "*) systemctl --quiet disable "$service" 2>/dev/null || true ;;
    esac
done
