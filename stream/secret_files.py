"""Secret files: a secret setting's value, read from the file that the environment names with ``..._FILE``.

Orchestrators mount secrets as files. Unlike a variable, a file is not seen by whoever lists processes or
describes a container.
"""

import os
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from stream.errors import SettingsError

MOST_BYTES: Final = 64 * 1024
"""A password or a ring of keys is shorter: a larger file is a mistake."""


def is_secret(field: FieldInfo) -> bool:
    """Tell whether a setting's value is to be shown to nobody.

    Examples
    --------
    >>> is_secret(FieldInfo(annotation=SecretStr | None)), is_secret(FieldInfo(annotation=str))
    (True, False)
    """
    return SecretStr in (field.annotation, *get_args(field.annotation))


class SecretFiles(PydanticBaseSettingsSource):
    """The source of secrets that lie in files: of ``FRAUD_X`` in the file that ``FRAUD_X_FILE`` names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return a secret's value, None where no file is named for it, with its name and that it is plain.

        Raises
        ------
        SettingsError
            The file cannot be read, is empty or huge, or the secret itself is in the environment as well.
        """
        variable = f"{self.config.get('env_prefix', '')}{field_name}".upper()
        path = os.environ.get(f"{variable}_FILE") if is_secret(field) else None
        if not path:
            return None, field_name, False
        if os.environ.get(variable):
            raise SettingsError(f"{variable} and {variable}_FILE are both set; keep one of them")
        return _read(Path(path), f"{variable}_FILE"), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return every secret that lies in a file, by its setting's name."""
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value is not None}


def _read(path: Path, variable: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        secret = content.decode().rstrip("\r\n")
    except OSError as error:
        raise SettingsError(
            f"{variable}={path}: cannot be read ({error.strerror}); correct the path, or let us read it"
        ) from error
    except UnicodeDecodeError:
        raise SettingsError(f"{variable}={path}: is not UTF-8 text; name the file of the secret") from None
    if not secret or len(content) > MOST_BYTES:
        raise SettingsError(
            f"{variable}={path}: holds {len(content)} bytes, where a secret has 1 to {MOST_BYTES}; name"
            " the secret's file"
        )
    return secret
