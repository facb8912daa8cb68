#!/bin/sh
# Says which tests will be skipped for want of a Debian package. None of these is needed to run Homeostat locally.
say() { echo "$1 is not installed: $2 are skipped (apt-get install $3)"; }
set -- /usr/lib/postgresql/*/bin/initdb
[ -x "$1" ] || command -v initdb >/dev/null || say PostgreSQL "the tests against it" postgresql
command -v docker-compose >/dev/null || docker compose version >/dev/null 2>&1 ||
	say docker-compose "the checks of docker-compose.yml" docker-compose
exit 0
