#!/bin/sh
# Installs Debian's packages ($PACKAGES) that tests and `make run` use, without starting a single service. Needs root.
set -eu

if [ "$(id -u)" != 0 ]; then
    echo "make system: as root, please (it runs apt-get install $PACKAGES)" >&2
    exit 1
fi
if ! command -v apt-get > /dev/null; then
    echo "make system: this is not Debian; install yourself: $PACKAGES" >&2
    exit 1
fi

missing=""
for package in $PACKAGES; do
    state=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2> /dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
if [ -z "$missing" ]; then
    echo "make system: everything is installed ($PACKAGES)"
    exit 0
fi

# While this file says 101, no package starts its service: nobody asked for a web server on port 80.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
echo "make system: apt-get update"
apt-get update --quiet
echo "make system: apt-get install$missing"
# shellcheck disable=SC2086  # a list of words
apt-get install --yes --quiet --no-install-recommends $missing

for service in nginx haproxy prometheus prometheus-alertmanager prometheus-blackbox-exporter; do
    case " $missing " in
        *" $service "*) if command -v systemctl > /dev/null; then systemctl --quiet disable "$service" || true; fi ;;
    esac
done
echo "make system: done; no service was started"
