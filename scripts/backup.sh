#!/bin/sh
# Back up the whole database into one file, while everything keeps running: one consistent moment, compressed.
set -eu

usage='usage: scripts/backup.sh [FILE]

Writes a dump of the database of DATABASE_URL, or of docker compose where that is not set, to FILE
(pncp-<time>.dump in this folder). scripts/restore.sh reads it.'

case ${1:-} in
    -h | --help)
        echo "$usage"
        exit 0
        ;;
    -*)
        echo "$usage" >&2
        exit 2
        ;;
esac
if [ $# -gt 1 ]; then
    echo "$usage" >&2
    exit 2
fi
. "$(dirname -- "$0")/connection.sh"

file=${1:-pncp-$(date -u +%Y%m%dT%H%M%SZ).dump}
if [ -e "$file" ]; then
    echo "backup: $file exists already" >&2
    exit 1
fi

# Under its own name a dump is whole, and nobody else may read it.
umask 077
trap 'rm -f -- "$file.part"' EXIT
trap 'exit 130' HUP INT TERM
here pg_dump --dbname="$url" --format=custom --no-owner --no-privileges --no-unlogged-table-data >"$file.part"
here pg_restore --file=/dev/null <"$file.part"
mv -- "$file.part" "$file"
echo "backup: $place is in $file, $(($(wc -c <"$file") / 1024)) KiB"
