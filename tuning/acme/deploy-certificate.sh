#!/bin/sh
# Deploy hook of an ACME client: puts a renewed chain and key where a running node reads them. The node looks at the files
# every two seconds; nothing is restarted, nobody is disconnected.
#
#   certbot certonly --webroot -w DIRECTORY -d NAME --deploy-hook /path/to/deploy-certificate.sh
#   lego … --http --http.webroot DIRECTORY run --run-hook /path/to/deploy-certificate.sh   (renew: --renew-hook)
#
# CORECAST_TLS_DIRECTORY  where they go (default /etc/corecast/tls): chain.pem and key.pem
# CORECAST_TLS_GROUP      the group that may read them (default corecast-tls, where there is one)
set -eu

if [ -n "${RENEWED_LINEAGE:-}" ]; then # certbot
  chain=$RENEWED_LINEAGE/fullchain.pem key=$RENEWED_LINEAGE/privkey.pem
elif [ -n "${LEGO_CERT_PATH:-}" ]; then # lego
  chain=$LEGO_CERT_PATH key=$LEGO_CERT_KEY_PATH
else
  echo "deploy-certificate.sh: neither RENEWED_LINEAGE (certbot) nor LEGO_CERT_PATH (lego) is set: run it as their hook" >&2
  exit 2
fi
directory=${CORECAST_TLS_DIRECTORY:-/etc/corecast/tls}
group=${CORECAST_TLS_GROUP:-}
if [ -z "$group" ]; then
  if getent group corecast-tls >/dev/null; then group=corecast-tls; else group=$(id -gn); fi
fi

install -d -m 0750 -g "$group" "$directory"
# Each is replaced at once, so that nobody reads half a file; between the two the node waits for the second.
install -m 0640 -g "$group" "$chain" "$directory/chain.pem.new"
install -m 0640 -g "$group" "$key" "$directory/key.pem.new"
mv -f "$directory/chain.pem.new" "$directory/chain.pem"
mv -f "$directory/key.pem.new" "$directory/key.pem"
