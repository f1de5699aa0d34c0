"""LangChain against the gateway (pip install langchain-openai)."""

import os

from langchain_openai import ChatOpenAI

from bandit_router.client import Client

url = os.environ.get("ROUTER_URL", "http://127.0.0.1:8080")
key = os.environ.get("ROUTER_KEY", "none")
model = ChatOpenAI(model="auto", base_url=f"{url}/v1", api_key=key, include_response_headers=True)

message = model.invoke("Say hello.")
print(message.content)

with Client(url, key) as router:
    print(router.outcome(message, reward=1.0))
