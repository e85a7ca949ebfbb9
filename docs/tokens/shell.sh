#!/usr/bin/env bash
# Tokens for customers, signed with RS256 by openssl.
#
#   bash shell.sh keys             makes shop.pem, which you keep, and jwks.json for every node
#   bash shell.sh token SUBJECT    prints a token; no quotes or backslashes in SUBJECT
set -euo pipefail

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

case "$1" in
keys)
  [ ! -e shop.pem ] || { echo "shop.pem is there already" >&2; exit 1; }
  (umask 077 && openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out shop.pem)
  modulus=$(openssl rsa -in shop.pem -noout -modulus | cut -d= -f2)
  n=$(printf '%b' "$(printf '%s' "$modulus" | sed 's/../\\x&/g')" | base64url)
  printf '{"keys": [{"kty": "RSA", "kid": "shop-1", "alg": "RS256", "use": "sig", "n": "%s", "e": "AQAB"}]}\n' "$n" >jwks.json
  ;;
token)
  now=$(date +%s)
  header=$(printf '{"alg":"RS256","typ":"JWT","kid":"shop-1"}' | base64url)
  claims=$(printf '{"iss":"https://shop.example","aud":"firstcome","sub":"%s","iat":%d,"exp":%d}' \
    "$2" "$now" $((now + 600)) | base64url)
  signature=$(printf '%s' "$header.$claims" | openssl dgst -sha256 -sign shop.pem -binary | base64url)
  echo "$header.$claims.$signature"
  ;;
esac
