#!/bin/sh
# Make Elasticsearch ready for the logs: the user that writes, Kibana's password, and after how many days lines go.
set -eu

: "${ELASTIC_PASSWORD:?is missing: write it into .env, as .env.example shows}"
: "${LOGS_PASSWORD:?is missing: write it into .env, as .env.example shows}"

ask() {
    method=$1 path=$2
    # passwords come by a file and by standard input, so that none stands on a command line
    curl --silent --show-error --fail --request "$method" --header 'Content-Type: application/json' --data @- \
        --config /tmp/user "http://elasticsearch:9200$path"
    echo
}

umask 077
printf 'user = "elastic:%s"\n' "$ELASTIC_PASSWORD" >/tmp/user

ask PUT /_index_template/logs-pncp <<END
{
  "index_patterns": ["logs-pncp-*"],
  "data_stream": {},
  "priority": 500,
  "composed_of": ["ecs@mappings"],
  "template": {"lifecycle": {"data_retention": "${LOGS_DAYS:-30}d"}}
}
END
ask PUT /_security/role/pncp-shipper <<END
{"indices": [{"names": ["logs-pncp-*"], "privileges": ["create_doc", "auto_configure"]}]}
END
ask PUT /_security/user/pncp-shipper <<END
{"password": "$LOGS_PASSWORD", "roles": ["pncp-shipper"]}
END
ask PUT /_security/user/kibana_system/_password <<END
{"password": "$LOGS_PASSWORD"}
END
