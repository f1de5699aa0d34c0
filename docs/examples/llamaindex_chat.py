"""LlamaIndex against the gateway (pip install llama-index-llms-openai-like)."""

import os

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

from bandit_router.client import Client

url = os.environ.get("ROUTER_URL", "http://127.0.0.1:8080")
key = os.environ.get("ROUTER_KEY", "none")
model = OpenAILike(model="auto", api_base=f"{url}/v1", api_key=key, is_chat_model=True)

response = model.chat([ChatMessage(role="user", content="Say hello.")])
print(response.message.content)

with Client(url, key) as router:
    print(router.outcome(response, reward=1.0))
