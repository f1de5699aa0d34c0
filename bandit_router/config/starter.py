"""The commented settings that `bandit-router init` writes."""

from __future__ import annotations

STARTER = """\
# bandit-router: settings. Every key here is optional but the models; the environment variable
# BANDIT_ROUTER_<TABLE>_<KEY> overrides a key of a table.

[[models]]                    # one block a model, cheapest first or in any order
name = "small"
input_usd_per_m = 0.10        # list prices, US dollars per million tokens
output_usd_per_m = 0.40

# [[models.endpoints]]        # where the model above is served; without one it is routed to only
# base_url = "https://api.openai.com/v1"    # any OpenAI-compatible server
# api_key_env = "OPENAI_API_KEY"            # the variable that holds the key, not the key
# model = "name-at-the-provider"            # where it differs from `name`

[[models]]
name = "large"
input_usd_per_m = 2.50
output_usd_per_m = 10.00
# quality_prior = 0.8         # a guess of its mean quality, washed out by feedback
# similar_to = "small"        # what it is expected to be like until feedback says otherwise
# context_tokens = 128000
# supports = ["tools", "json"]

# [[models.endpoints]]        # one block a place; more are for failover: see docs/providers.md
# base_url = "https://api.openai.com/v1"
# api_key_env = "OPENAI_API_KEY"
# model = "name-at-the-provider"

[server]
host = "127.0.0.1"
port = 8080

[embedder]
name = "minilm"               # or "static", a sentence-transformers name or folder,
                              # "openai:MODEL", "none": bring vectors

[clusterer]
name = "dbstream"             # or kmeans, streamkmeans, clustream, denstream: the finest level
resolutions = [1.1, 0.9]      # radii of the map's levels, coarsest first
max_clusters = 1024           # a level; the closest are merged above it
half_life = 50000             # prompts until an unvisited cluster has lost half its weight
fading = "prompts"            # or "time": half_life is in seconds
names = false                 # true: call regions by words that several of their prompts have

[bandit]
strategy = "thompson"         # or fixed:MODEL, linucb, llm-judge ...: see docs/strategies.md
# shadows = ["linucb"]        # their choices are logged beside it: see docs/shadow-and-canary.md
cost_weight = 0.1             # utility = quality - cost_weight * cost / reference cost; default 0
# reference_cost_usd = 0.001  # default: the mean cost of the dearest model

[signals]                     # what the gateway tells of its answers by itself: docs/feedback.md
implicit = true               # users who ask the same again, or go on
# check = "mymodule:check"    # a function that says how good an answer is

# [answer_judge]              # an LLM that grades a share of the answers
# share = 0.05
# base_url = "https://api.openai.com/v1"
# api_key_env = "OPENAI_API_KEY"
# model = "gpt-5-mini"
# usd_per_day = 1.0

[store]
path = "bandit-router.db"
keep_prompts = false          # the text of prompts; length and hash are always kept
# prompt_days = 30            # how long their text is kept
# keep_days = 365             # older events fold into a checkpoint: what was learnt stays
# redact = "mymodule:scrub"   # a function that prompts go through before anything is kept

# [tenants.acme]              # a router of its own beside this one: see docs/tenants.md
"""
"""What `bandit-router init` writes."""
