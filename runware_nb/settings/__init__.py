"""Settings: one table, where the values come from, and the secrets of providers.

It is the only package that reads the environment.
"""

from .environment import (
    child_environment,
    current_folder,
    environment_fingerprint,
    jupyter_session_name,
    notebook_name,
    text_of_variable,
    user_cache_folder,
    user_file,
)
from .model import SCHEMAS_URL, SERVICES, SETTINGS, Place, Setting, SettingProblem, Settings, settings_table
from .secrets import (
    RUNWARE_KEY,
    Key,
    find_key,
    forget_key,
    hash_of_secret,
    hash_of_variable,
    hide_key,
    is_set_variable,
    key_of_variable,
    remember_secrets,
    secrets_of_environment,
    store_key,
    stored_key,
    stored_keys,
    variable_in_use,
)
from .sources import load_settings, save_to_project

__all__ = [
    "RUNWARE_KEY",
    "SCHEMAS_URL",
    "SERVICES",
    "SETTINGS",
    "Key",
    "Place",
    "Setting",
    "SettingProblem",
    "Settings",
    "child_environment",
    "current_folder",
    "environment_fingerprint",
    "find_key",
    "forget_key",
    "hash_of_secret",
    "hash_of_variable",
    "hide_key",
    "is_set_variable",
    "jupyter_session_name",
    "key_of_variable",
    "load_settings",
    "notebook_name",
    "remember_secrets",
    "save_to_project",
    "secrets_of_environment",
    "settings_table",
    "store_key",
    "stored_key",
    "stored_keys",
    "text_of_variable",
    "user_cache_folder",
    "user_file",
    "variable_in_use",
]
