#!/bin/sh
# Installs the Debian packages in the directory $1 into the test container, which is at $DESTDIR and not booted, and
# leaves them there with their autopkgtest(1) scripts, for the tests of the packages themselves.
set -eu

packages=/var/cache/spectrum2-packages
mkdir -p "$DESTDIR$packages"
for package in "$1"/*.deb; do
    case $package in
        *-dbgsym_*) ;;
        *) cp "$package" "$DESTDIR$packages" ;;
    esac
done
cp -r "$(dirname "$0")/../debian/tests" "$DESTDIR$packages"
words=$(mktemp)
trap 'rm -f "$words"' EXIT
if ! chroot "$DESTDIR" sh -c "dpkg --install $packages/*.deb" >"$words" 2>&1; then
    cat "$words" >&2
    exit 1
fi
