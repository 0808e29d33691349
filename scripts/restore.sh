#!/bin/sh
# Put a dump of scripts/backup.sh into a database: all of it or, whatever goes wrong, nothing.
set -eu

usage='usage: scripts/restore.sh [--force] FILE

Reads FILE into the database of DATABASE_URL, or of docker compose where that is not set. A database that holds
tables already is refused, unless --force says to replace them.'

force=
if [ "${1:-}" = --force ]; then
    force=yes
    shift
fi
case ${1:-} in
    -h | --help)
        echo "$usage"
        exit 0
        ;;
    '' | -*)
        echo "$usage" >&2
        exit 2
        ;;
esac
if [ $# -gt 1 ]; then
    echo "$usage" >&2
    exit 2
fi
. "$(dirname -- "$0")/connection.sh"

refuse() {
    echo "restore: $1" >&2
    exit 1
}

query() {
    here psql --dbname="$url" --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 --command="$1" </dev/null
}

file=$1
[ -r "$file" ] || refuse "$file cannot be read"
here pg_restore --file=/dev/null <"$file" || refuse "$file is not a whole dump; nothing was changed"

services=$(query "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name IN ('pncp-backend', 'pncp-ingestor')")
[ "$services" = 0 ] || refuse "$place is in use: stop the backend and the ingestors first"
tables=$(query "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")
if [ "$tables" != 0 ] && [ -z "$force" ]; then
    refuse "$place holds $tables tables already; --force replaces them"
fi

here pg_restore --dbname="$url" --single-transaction --clean --if-exists --no-owner --no-privileges <"$file" ||
    refuse "$place was left as it was"
query ANALYZE
echo "restore: $file is in $place"
