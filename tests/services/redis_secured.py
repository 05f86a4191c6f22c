"""A real Redis for tests that is encrypted and wants a login."""

from pathlib import Path

from tests.services.certificates import Authority
from tests.services.process import free_port
from tests.services.redis_server import RedisServer


class SecuredRedis(RedisServer):
    """A running `redis-server` with TLS beside its open port, which is there for the test itself.

    Parameters
    ----------
    directory
        Empty.
    authority
        Issues its certificate.
    rules
        An ACL file. Its default user is let in by all the same: it is the test's own.
    """

    def __init__(self, directory: Path, authority: Authority, rules: str) -> None:
        certificate, key, _ = authority.issue("127.0.0.1")
        tls_port = free_port()
        self.tls_url = f"rediss://127.0.0.1:{tls_port}/0"
        acl = directory / "users.acl"
        acl.write_text(rules.replace("user default off", "user default on nopass ~* &* +@all"))
        super().__init__(
            directory,
            *("--tls-port", str(tls_port), "--tls-auth-clients", "no", "--aclfile", str(acl)),
            *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
            *("--tls-ca-cert-file", str(authority.certificate)),
        )
