"""Certificates for a test's servers, of authorities that last as long as the test."""

from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


class Authority:
    """A certificate authority of one's own.

    Parameters
    ----------
    directory
        Holds its certificate, and those that it issues.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._authority = trustme.CA()
        self.certificate = directory / "ca.pem"
        """What clients trust it by."""
        self._authority.cert_pem.write_to_path(self.certificate)

    def issue(self, *names: str) -> tuple[Path, Path, Path]:
        """Return the PEM files of a certificate for these hosts: it, its key, and both together."""
        issued = self._authority.issue_cert(*names)
        certificate, key, both = (
            self._directory / f"{names[0]}.{kind}.pem" for kind in ("certificate", "key", "both")
        )
        issued.cert_chain_pems[0].write_to_path(certificate)
        # In the one form that Java reads, too.
        pem = load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        key.write_bytes(pem)
        both.write_bytes(pem + issued.cert_chain_pems[0].bytes())
        return certificate, key, both
