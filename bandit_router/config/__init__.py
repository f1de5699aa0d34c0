"""Settings, from a TOML file and the environment; a class is a table of the file."""

from .checks import AUTO, DEAREST, check_kin, check_models, check_names, is_model_name, nearest
from .choosing import (
    BanditSettings,
    BudgetSettings,
    ClustererSettings,
    LLMJudgeSettings,
    Profile,
    Rule,
)
from .kinds import LEAST_REFERENCE
from .listening import (
    SIGNAL_WEIGHTS,
    AnswerJudgeSettings,
    FeedbackSettings,
    SignalsSettings,
    family_of,
)
from .read import ENVIRONMENT_PREFIX, load_config, parse_config
from .serving import EmbedderSettings, KeysSettings, ServerSettings, StoreSettings
from .starter import STARTER
from .tables import Config, Settings, strategies_named

__all__ = [
    "AUTO",
    "DEAREST",
    "ENVIRONMENT_PREFIX",
    "LEAST_REFERENCE",
    "SIGNAL_WEIGHTS",
    "STARTER",
    "AnswerJudgeSettings",
    "BanditSettings",
    "BudgetSettings",
    "ClustererSettings",
    "Config",
    "EmbedderSettings",
    "FeedbackSettings",
    "KeysSettings",
    "LLMJudgeSettings",
    "Profile",
    "Rule",
    "ServerSettings",
    "Settings",
    "SignalsSettings",
    "StoreSettings",
    "check_kin",
    "check_models",
    "check_names",
    "family_of",
    "is_model_name",
    "load_config",
    "nearest",
    "parse_config",
    "strategies_named",
]
