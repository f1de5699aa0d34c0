"""The OpenAI SDK against the gateway: one base URL, one line of feedback."""

import os

from openai import OpenAI

from bandit_router.client import wrap

url = os.environ.get("ROUTER_URL", "http://127.0.0.1:8080")
client = OpenAI(base_url=f"{url}/v1", api_key=os.environ.get("ROUTER_KEY", "none"))

answer = client.chat.completions.create(
    model="auto",
    messages=[{"role": "user", "content": "Say hello."}],
    extra_headers={"x-bandit-router-session": "a-conversation"},  # optional: see docs/feedback.md
)
print(answer.choices[0].message.content)

with wrap(client) as router:
    print(router.outcome(answer, reward=1.0))
