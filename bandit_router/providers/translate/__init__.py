"""One API's words in another's: requests on the way up, answers and streams on the way down.

OpenAI's chat completions are the middle: whatever a client speaks is put into it, and from it
into what an endpoint speaks.
"""

from .anthropic import ChatOverMessages, MessagesOverChat
from .base import Chained, Json, StreamTranslator, Translation
from .responses import ResponsesOverChat

__all__ = [
    "Chained",
    "ChatOverMessages",
    "Json",
    "MessagesOverChat",
    "ResponsesOverChat",
    "StreamTranslator",
    "Translation",
]
