"""The describer that asks a vision-language model behind OpenAI's chat completions."""

from model.descriptions.openai.describer import OpenAIDescriber
from model.descriptions.openai.settings import Endpoint, Patience, Picture, Sampling

__all__ = ["Endpoint", "OpenAIDescriber", "Patience", "Picture", "Sampling"]
