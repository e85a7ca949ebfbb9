#!/usr/bin/env bash
# From an e-mail address to a purchase and out again, over REST only, each call to another node.
#
# Needs bash, curl and three running nodes, started as in README.md ("Three nodes by hand"). Run it in
# the directory of cluster.toml: development mail is in data/NODE/mail, and the token that puts
# something on sale comes from `firstcome token`. With one development node (`firstcome serve`):
# NODES=http://127.0.0.1:7400 MAIL_DIRS=data/mail.
set -euo pipefail

read -r -a nodes <<<"${NODES:-http://127.0.0.1:8081 http://127.0.0.1:8082 http://127.0.0.1:8083}"
mail_dirs="${MAIL_DIRS:-data/*/mail}"
email="kim.$RANDOM$RANDOM@example.com"
password="correct horse battery"
turn=0

say() { printf '\n== %s\n' "$*"; }

# call METHOD PATH [TOKEN] [BODY]: to the next node; prints the body, and stops at an error.
call() {
  local node="${nodes[$((turn % ${#nodes[@]}))]}" answer status
  local -a with=(-H "Content-Type: application/json" -H "Accept-Language: en")
  [ -z "${3:-}" ] || with+=(-H "Authorization: Bearer $3")
  [ -z "${4:-}" ] || with+=(-d "$4" -H "Idempotency-Key: $email-$turn")
  answer=$(curl -sS -w '\n%{http_code}' -X "$1" "${with[@]}" "$node$2")
  status=${answer##*$'\n'}
  answer=${answer%$'\n'*}
  echo "$1 $node$2 -> $status" >&2
  if [ "$status" -ge 400 ] && [ "${expect:-}" != "$status" ]; then
    echo "$answer" >&2
    exit 1
  fi
  printf '%s' "$answer"
}

# next: the next call goes to the next node. (`call` runs in a subshell and cannot count itself.)
next() { turn=$((turn + 1)); }

# field NAME: the first member of that name in a JSON document.
field() { grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4; }

# The code in the newest mail to our address; the node that leads has written it.
mailed_code() {
  local deadline=$((SECONDS + 30)) file
  while [ $SECONDS -lt $deadline ]; do
    # shellcheck disable=SC2086 # a pattern, to be expanded
    file=$(grep -ls "^To: $email" $mail_dirs/*.eml 2>/dev/null | tail -n 1 || true)
    if [ -n "$file" ]; then
      tr -d '\r' <"$file" | grep -m 1 -x '[0-9]\{6\}'
      return
    fi
    sleep 0.2
  done
  echo "no mail to $email in $mail_dirs" >&2
  return 1
}

say "Staff put ten lamps on sale"
staff=$(firstcome token --role operator)
product=$(call POST /v1/admin/products "$staff" \
  '{"name": "Lamp", "price": {"amount": 15000, "currency": "KRW"}, "stock": 10}' | field id)
next
sale=$(call POST /v1/admin/sales "$staff" "{\"product_id\": \"$product\", \"title\": \"Spring\", \
  \"units\": 10, \"opens_at\": \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"}" | field id)
next

say "Somebody proves that $email is theirs"
call POST /v1/auth/email-verifications "" "{\"email\": \"$email\"}" >/dev/null
next
code=$(mailed_code)
echo "the mail has the code $code"
proof=$(call POST /v1/auth/email-verifications/confirm "" \
  "{\"email\": \"$email\", \"code\": \"$code\"}" | field verification_token)
next

say "They sign up, and log in"
call POST /v1/auth/sign-up "" "{\"email\": \"$email\", \"password\": \"$password\", \
  \"name\": \"Kim\", \"phone\": \"010-1234-5678\", \"verification_token\": \"$proof\", \
  \"address\": {\"recipient\": \"Kim\", \"phone\": \"010-1234-5678\", \"line1\": \"Sejong-daero 110\"}}" \
  >/dev/null
next
tokens=$(call POST /v1/auth/login "" "{\"email\": \"$email\", \"password\": \"$password\"}")
next
token=$(field access_token <<<"$tokens")

say "They buy a lamp, sent to their address"
address=$(call GET /v1/me/addresses "$token" | field id)
next
order=$(call POST /v1/orders "$token" \
  "{\"lines\": [{\"sale_id\": \"$sale\", \"quantity\": 1}], \"address_id\": \"$address\"}" | field id)
next
call GET "/v1/orders/$order" "$token" | field status
next

say "The session is renewed, and ended"
tokens=$(call POST /v1/auth/refresh "" "{\"refresh_token\": \"$(field refresh_token <<<"$tokens")\"}")
next
token=$(field access_token <<<"$tokens")
call POST /v1/auth/logout "$token" >/dev/null
next
expect=401
call GET /v1/orders "$token" | field code
echo "done: $order"
