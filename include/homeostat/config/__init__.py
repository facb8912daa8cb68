"""model.yaml and the platform's settings, as frozen and validated types."""

from homeostat.config.duration import format_duration, parse_duration
from homeostat.config.load import load_model, load_models
from homeostat.config.model import ModelConfig
from homeostat.config.settings import Settings

__all__ = ["ModelConfig", "Settings", "format_duration", "load_model", "load_models", "parse_duration"]
