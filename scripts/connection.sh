# Read by backup.sh and restore.sh: which database is meant, and where the tools of PostgreSQL run.
#   DATABASE_URL set, in the environment or in .env:  that database, with the tools of this machine
#   otherwise:  the database of docker compose, with the tools inside its container
# It leaves url (for --dbname), place (for messages) and the function here.

project=$(CDPATH='' cd -P -- "$(dirname -- "$0")/.." && pwd -P)
if [ -z "${DATABASE_URL:-}" ] && [ -r "$project/.env" ]; then
    # as python-dotenv reads it: the last line counts, with or without export and quotes
    DATABASE_URL=$(sed -n 's/^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}DATABASE_URL[[:space:]]*=[[:space:]]*//p' "$project/.env" |
        tail -n 1 | sed -e 's/[[:space:]]*$//' -e "s/^'\(.*\)'.*/\1/" -e 's/^"\(.*\)".*/\1/' -e 's/[[:space:]]\{1,\}#.*//')
fi
if [ -n "${DATABASE_URL:-}" ]; then
    # A driver in the scheme is SQLAlchemy's; and the password goes through the environment, since everyone on the
    # machine can read the command line.
    url=$(printf '%s\n' "$DATABASE_URL" | sed 's|^postgres[a-z]*+[a-z0-9]*://|postgresql://|')
    password=$(printf '%s\n' "$url" | sed -n 's|^[a-z]*://[^/?:@]*:\([^/?@]*\)@.*|\1|p' | LC_ALL=C awk '
        {
            text = ""
            while (match($0, /%[0-9A-Fa-f][0-9A-Fa-f]/)) {
                high = index("0123456789abcdef", tolower(substr($0, RSTART + 1, 1))) - 1
                low = index("0123456789abcdef", tolower(substr($0, RSTART + 2, 1))) - 1
                text = text substr($0, 1, RSTART - 1) sprintf("%c", 16 * high + low)
                $0 = substr($0, RSTART + 3)
            }
            print text $0
        }')
    if [ -n "$password" ]; then
        PGPASSWORD=$password
        export PGPASSWORD
        url=$(printf '%s\n' "$url" | sed 's|^\([a-z]*://[^/?:@]*\):[^/?@]*@|\1@|')
    fi
    place=$(printf '%s\n' "$url" | sed 's|?.*||')
    here() {
        "$@"
    }
else
    if ! command -v docker >/dev/null; then
        echo "$(basename -- "$0" .sh): DATABASE_URL is set neither in the environment nor in .env, and docker is not here" >&2
        exit 1
    fi
    url='postgresql:///pncp?user=pncp'
    place='the database of docker compose'
    here() {
        docker compose --file "$project/docker-compose.yaml" exec -T postgres "$@"
    }
fi
