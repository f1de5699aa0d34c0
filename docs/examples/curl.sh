#!/usr/bin/env bash
# The gateway by curl: ask, then say how good the answer was.
set -euo pipefail
url=${ROUTER_URL:-http://127.0.0.1:8080}

curl --silent --fail --dump-header headers.$$ "$url/v1/chat/completions" \
  --header 'Content-Type: application/json' \
  --data '{"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}'
echo

id=$(grep -i '^x-bandit-router-decision-id:' headers.$$ | tr -d '\r' | cut -d ' ' -f 2)
rm headers.$$

curl --silent --fail "$url/feedback" --header 'Content-Type: application/json' \
  --data "{\"decision_id\": \"$id\", \"rating\": \"up\"}"
echo
