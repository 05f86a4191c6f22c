"""TLS as our clients speak it: which authorities they trust, and what they show of themselves."""

import ssl
from pathlib import Path

from pydantic import SecretStr

from stream.errors import SettingsError


def client_context(
    service: str,
    ca: Path | None,
    certificate: Path | None = None,
    key: Path | None = None,
    key_password: SecretStr | None = None,
) -> ssl.SSLContext:
    """Return a context that verifies the server's certificate and name, in TLS 1.2 or newer.

    Parameters
    ----------
    service
        ``KAFKA`` or ``REDIS``, as in the settings' names.
    ca
        PEM file of the authorities to trust; None: the system's.
    certificate, key, key_password
        PEM files of what we show to servers that ask for it.

    Raises
    ------
    SettingsError
        A file cannot be read, or is not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:  # SSLError is one
        raise _unusable(f"FRAUD_{service}_CA={ca}", error, "a PEM file of certificates") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is None or key is None:
        return context
    # Without a password, OpenSSL would ask for one on the terminal.
    password = key_password.get_secret_value() if key_password is not None else ""
    try:
        context.load_cert_chain(certificate, key, password)
    except OSError as error:
        what = f"FRAUD_{service}_CERTIFICATE={certificate}, FRAUD_{service}_KEY={key}"
        raise _unusable(
            what, error, "the PEM files of a certificate and of its key, with its password"
        ) from error
    return context


def _unusable(what: str, error: OSError, wanted: str) -> SettingsError:
    # OpenSSL's text never has anything of a key or password in it.
    return SettingsError(f"{what}: cannot be used ({error.strerror or error}); name {wanted}")
