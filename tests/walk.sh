#!/bin/sh
# The requests of the Postman collection as plain curl, to every strategy that the
# server mounts, in the same order. It prints a line for each answer, stops at the
# first one that is not as expected, and can be repeated against one server.
#
#     tests/walk.sh                          a server on http://localhost:8080
#     tests/walk.sh http://localhost:9000    another one
#
# It needs a POSIX shell, curl, sed, grep and tr.
set -eu

base=${1:-http://localhost:8080}
base=${base%/}
bodies=$(dirname "$0")/bodies
work=$(mktemp -d "${TMPDIR:-/tmp}/statelab-walk.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

json='Content-Type: application/json'
steps=0

# fail SENTENCE shows the last answer and ends the walk.
fail() {
  printf 'FAILED %s: %s\n' "$name" "$1" >&2
  if [ -f "$work/head" ]; then cat "$work/head" >&2; fi
  if [ -f "$work/body" ]; then cat "$work/body" >&2; fi
  printf '\n' >&2
  exit 1
}

# call METHOD PATH [CURL OPTION...] sends a request with the credential in
# $work/carry. The answer is in $status, $work/head and $work/body.
call() {
  method=$1 path=$2
  shift 2
  rm -f "$work/head" "$work/body"
  : >"$work/body"
  case $method in
  HEAD) set -- --head "$@" ;;
  *) set -- --request "$method" "$@" ;;
  esac
  status=$(curl --silent --show-error --noproxy '*' --max-time 10 --config "$work/carry" \
    --dump-header "$work/head" --output "$work/body" --write-out '%{http_code}' \
    "$@" "$base$path") || fail "curl got no answer from $base$path"
}

# header NAME prints a header of the last answer, whatever the case of its name.
header() { tr -d '\r' <"$work/head" | grep -i "^$1:" | sed -n '1s/^[^:]*: *//p'; }

# value NAME prints a text member of the last answer.
value() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" "$work/body" | sed -n 1p; }

# has TEXT says whether the last answer holds TEXT, whatever space stands in it.
has() { tr -d ' \t\r\n' <"$work/body" | grep -qF -e "$1"; }

# expect NAME STATUS TEXT is what the last answer must be: its status, a text in
# its body ("" for an empty body), and what every answer of the contract has.
expect() {
  name=$1 want=$2 text=$3
  [ "$status" = "$want" ] || fail "the status is $status, not $want"
  [ -n "$(header X-Request-Id)" ] || fail "there is no X-Request-Id"
  [ "$(header X-Content-Type-Options)" = nosniff ] || fail "there is no nosniff"
  if [ -n "$text" ]; then
    has "$text" || fail "there is no $text in the answer"
    type=$(header Content-Type)
    case $status:$type in
    2*:application/json* | 2*:application/jwk-set+json* | 2*:text/plain* | [45]*:application/problem+json*) ;;
    *) fail "the Content-Type is $type" ;;
    esac
  elif [ "$method" != HEAD ] && [ -s "$work/body" ]; then
    fail "the body is not empty"
  fi
  place=${path#/}
  place=${place%%/*}
  case " $strategies " in
  *" $place "*) [ "$(header Cache-Control)" = no-store ] || fail "it may be cached" ;;
  esac
  steps=$((steps + 1))
  printf 'ok  %-14s %s  %-28s %s\n' "$place" "$status" "$name" "$text"
}

# step NAME STATUS TEXT METHOD PATH [CURL OPTION...] is one request and its
# answer.
step() {
  name=$1 want=$2 text=$3
  shift 3
  call "$@"
  expect "$name" "$want" "$text"
}

# carry keeps the credential of the last answer for the next requests: curl
# keeps the cookie in a jar, the token goes into a header. Neither is on the
# command line, where other users of the machine could read it.
carry() {
  access=$(value access_token)
  if [ -n "$access" ]; then printf 'header = "Authorization: Bearer %s"\n' "$access" >"$work/carry"; fi
  renew=$(value refresh_token)
  if [ -n "$renew" ]; then printf '{"refresh_token":"%s"}\n' "$renew" >"$work/refresh.json"; fi
}

# forget starts without a credential, with an empty jar.
forget() {
  rm -f "$work/jar" "$work/refresh.json"
  printf 'cookie = "%s/jar"\ncookie-jar = "%s/jar"\n' "$work" "$work" >"$work/carry"
}

# The server's index names the strategies that it mounts, and says what each can do.
forget
name='the index' strategies=
call GET / -H 'Accept: application/json'
tr '{' '\n' <"$work/body" >"$work/index"
strategies=$(sed -n 's/^"slug" *: *"\([a-z-]*\)".*/\1/p' "$work/index" | tr '\n' ' ')
[ -n "$strategies" ] || fail "it names no strategy"

# can TRAIT says whether the strategy $s has a trait.
can() { sed -n "/^\"slug\" *: *\"$s\"/{n;p;}" "$work/index" | tr -d ' ' | grep -q "\"$1\":true"; }

for s in $strategies; do
  forget
  step 'sign in' 200 '"credits":100' POST "/$s/login" -H "$json" --data "@$bodies/alice.json"
  has "\"strategy\":\"$s\"" || fail "it is not of $s"
  carry
  step 'read the profile' 200 '"theme":"light"' GET "/$s/profile"
  etag=$(header ETag)
  [ -n "$etag" ] || fail "there is no ETag"
  step 'its headers alone' 200 '' HEAD "/$s/profile"
  [ "$(header ETag)" = "$etag" ] || fail "HEAD has another ETag"
  step 'change the theme' 200 '"theme":"dark"' PATCH "/$s/profile" -H "$json" -H "If-Match: $etag" --data "@$bodies/theme-dark.json"
  carry
  step 'change an old copy' 412 '"code":"version_mismatch"' PATCH "/$s/profile" -H "$json" -H "If-Match: $etag" --data "@$bodies/theme-light.json"
  step 'read the changed profile' 200 '"version":2' GET "/$s/profile"
  etag=$(header ETag)
  step 'read it only if it is new' 304 '' GET "/$s/profile" -H "If-None-Match: $etag"
  step 'spend 30 credits' 200 '"credits":70' POST "/$s/spend" -H "$json" --data "@$bodies/spend-30.json"
  carry
  step 'spend more than there is' 409 '"code":"insufficient_credits"' POST "/$s/spend" -H "$json" --data "@$bodies/spend-1000.json"
  if ! can renews_id; then
    step 'renew the login' 501 '"code":"not_supported_by_strategy"' POST "/$s/refresh"
  elif [ -s "$work/refresh.json" ]; then
    step 'renew the login' 200 '"credits":70' POST "/$s/refresh" -H "$json" --data "@$work/refresh.json"
  else
    step 'renew the login' 200 '"credits":70' POST "/$s/refresh"
  fi
  carry
  if can listable; then
    step 'list my logins' 200 '"current":true' GET "/$s/logins"
  else
    step 'list my logins' 501 '"code":"not_supported_by_strategy"' GET "/$s/logins"
  fi
  step 'look behind the curtain' 200 '"carried":{' GET "/$s/inspect"
  step 'list all accounts' 403 '"code":"forbidden"' GET "/$s/members"
  step 'sign out' 204 '' POST "/$s/logout"
  can sent_by_browser || forget # curl has deleted the cookie, and keeps a token
  step 'read the profile once more' 401 '"code":"no_credential"' GET "/$s/profile"
  header WWW-Authenticate | grep -q 'realm="statelab"' || fail "it does not say how to sign in"
done

forget
for p in none http memory redis; do
  step "the catalogue under $p" 200 '"sku":"SKU-2000"' GET "/cache/$p/catalog"
  header Cache-Status | grep -q "statelab-$p; " || fail "it does not say what its cache did"
done
step 'the index' 200 '"name":"statelab"' GET / -H 'Accept: application/json'
step 'is it alive' 200 '"status":"ok"' GET /healthz
step 'is it ready' 200 '"status":"ready"' GET /readyz
step 'what it has counted' 200 'statelab_sign_ins_total{' GET /metrics
step 'the contract' 200 '"openapi":"3.1' GET /openapi.json
step 'the public keys' 200 '"keys":[' GET /.well-known/jwks.json
step 'a path that is not there' 404 '"code":"not_found"' GET /no/such/path
step 'a method that is not there' 405 '"code":"method_not_allowed"' DELETE /session/login
header Allow | grep -q POST || fail "it does not say which methods there are"

# An account that does not exist, so that the throttle of the real ones stays
# untouched. After ten failures in 15 minutes the throttle answers, rightly.
name='a wrong password'
call POST /session/login -H "$json" --data "@$bodies/unknown-user.json"
case $status in
429) expect "$name" 429 '"code":"too_many_attempts"' ;;
*) expect "$name" 401 '"code":"bad_login"' ;;
esac

printf '%s answers of %s are as expected\n' "$steps" "$base"
