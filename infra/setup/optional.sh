#!/bin/sh
# Lists the tests that will be skipped because a Debian package is missing. Homeostat itself needs none of them.
say() { echo "$1 is not installed: $2 are skipped (apt-get install $3)"; }
set -- /usr/lib/postgresql/*/bin/initdb
[ -x "$1" ] || command -v initdb >/dev/null || say PostgreSQL "its tests" postgresql
command -v docker-compose >/dev/null || docker compose version >/dev/null 2>&1 ||
	say docker-compose "the tests of docker-compose.yml" docker-compose
command -v java >/dev/null || say Java "the tests of Spark" openjdk-17-jre-headless
exit 0
