"""Every setting, declared once: environment variables `FRAUD_...`, validated before anything starts."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode

from stream.errors import SettingsError
from stream.records import LabelSource
from stream.registry.seal import Keyring
from stream.secret_files import is_secret
from stream.tokens import Tokenised, Tokens
from stream.transport import TransportSettings, part_login

_LEAST_KEY: Final = 16
Role = Literal["score", "learn", "fit", "all"]
Party = Literal[
    "score",
    "learn",
    "fit",
    "models",
    "producer",
    "alerts",
    "archive",
    "cases",
    "desk",
    "settle",
    "redrive",
    "forget",
    "topics",
]
"""Who may have a user of its own at Kafka and Redis: the workers' roles, and the commands."""
Decision = Literal["budget", "cost", "threshold"]
LostState = Literal["stop", "rebuild", "cold"]


class Settings(TransportSettings):
    """The settings of every process; read with :func:`load_settings`, which only entry points call."""

    namespace: Annotated[
        str,
        Field(pattern="^[a-z0-9_-]{1,32}$", description="First part of every Redis key and consumer group."),
    ] = "fraud"
    topic_prefix: Annotated[
        str, Field(pattern="^[a-zA-Z0-9._-]{0,64}$", description="Put before every topic's name.")
    ] = ""
    partitions: Annotated[
        int, Field(ge=1, le=1024, description="Partitions of transactions, scores and alerts.")
    ] = 4
    replication: Annotated[int, Field(ge=1, le=9, description="Copies of each partition.")] = 1

    role: Annotated[
        Role,
        Field(
            description="What this worker does: score, learn, or all of both in one process; or fit the batch"
            " challenger."
        ),
    ] = "all"
    http_host: Annotated[str, Field(description="Address that metrics and health are served on.")] = (
        "127.0.0.1"
    )
    http_port: Annotated[
        int, Field(ge=0, le=65_535, description="Port of metrics and health; 0 takes any free one.")
    ] = 8000
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="The least that is logged.")
    ] = "info"

    batch_records: Annotated[
        int,
        Field(
            ge=1,
            le=5000,
            description="Most records in a batch, which takes about 40 ms then, or 100 without the kernel;"
            " batches are as large only where as much waits.",
        ),
    ] = 2000
    kernel: Annotated[
        Literal["auto", "on", "off"],
        Field(
            description="Whether the compiled kernel is used: where it is there; always, so that nothing"
            " starts without; or never. Scores are the same to the last bit, and take two to three times as"
            " long without."
        ),
    ] = "auto"
    niceness: Annotated[
        int,
        Field(
            ge=0,
            le=19,
            description="How far a learner or a fitter steps back for scorers on the same machine: added to"
            " its nice value.",
        ),
    ] = 5
    session_timeout_seconds: Annotated[
        float,
        Field(
            ge=6, le=300, description="How long a killed worker's partitions wait before another takes them."
        ),
    ] = 10.0
    stall_seconds: Annotated[
        float,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="After how long of doing nothing, though records wait and neither Redis nor Kafka is"
            " away, a worker ends itself, so that its supervisor starts it again; 0 never.",
        ),
    ] = 60.0
    models_wait_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=300,
            description="How long a scorer may hold a batch back for new models that it is loading; 0: it is"
            " scored by those that there are. A replay whose scores are to equal a backtest's needs 60.",
        ),
    ] = 0.0
    customer_cache: Annotated[
        int,
        Field(ge=0, description="Customers whose state a scorer keeps in memory; about 0.7 KB each."),
    ] = 100_000
    pending_days: Annotated[
        float,
        Field(
            gt=0,
            le=400,
            description="How long a scored transaction waits for its label: the longest verification"
            " latency, in days; its record may stay for up to a quarter longer.",
        ),
    ] = 35.0
    state_days: Annotated[
        float,
        Field(
            gt=0,
            le=400,
            description="How long an unused customer or terminal is remembered, in days; the longest feature"
            " window is 30.",
        ),
    ] = 60.0
    most_remembered: Annotated[
        int,
        Field(
            ge=0,
            description="Most customers' states that Redis holds, of 400 bytes each, and as many risk records"
            " of 200; beyond, those that say least are forgotten. 0: any number.",
        ),
    ] = 20_000_000
    offset_gap: Annotated[
        Literal["stop", "skip"],
        Field(
            description="When unread records fell off a topic: stop with an error, or count them and go on."
        ),
    ] = "stop"
    lost_state: Annotated[
        LostState,
        Field(
            description="When Redis has lost its data: stop with an error, rebuild it from what the topics"
            " still have, or go on cold, without it."
        ),
    ] = "stop"

    decision: Annotated[
        Decision,
        Field(
            description="What makes a score an alert: budget (about so many a day), cost (a review wherever"
            " it costs no more than the loss to be expected) or threshold (a fixed one)."
        ),
    ] = "budget"
    alert_budget: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="Alerts a day of event time over the whole stream, each partition its share; for"
            " decisions by budget.",
        ),
    ] = 100.0
    review_cost: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="What judging one alert costs, in units of the account's currency; for decisions by"
            " cost.",
        ),
    ] = 5.0
    loss_share: Annotated[
        float,
        Field(gt=0, le=1, description="Share of a fraud's amount that is lost; for decisions by cost."),
    ] = 1.0
    alert_threshold: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Scores at or above it are alerts (probability of fraud); with a budget only in the"
            " first day of a partition or model.",
        ),
    ] = 0.3
    champion: Annotated[str, Field(description="The recipe that serves first.")] = "ensemble"
    challengers: Annotated[
        tuple[str, ...],
        NoDecode,
        Field(max_length=8, description="The recipes scored in shadow, comma-separated."),
    ] = ("logistic",)
    seed: Annotated[int, Field(ge=0, description="Seed of every model's randomness.")] = 7
    snapshot_labels: Annotated[
        int, Field(ge=1, description="Scorers get new snapshots after this many labels.")
    ] = 1_000
    snapshot_seconds: Annotated[
        float, Field(gt=0, description="... and after this time, if anything was learnt.")
    ] = 60.0
    snapshot_gap_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=3600,
            description="... but not within this time of the last ones, however many labels come. A replay"
            " whose scores are to equal a backtest's needs 0.",
        ),
    ] = 2.0
    checkpoint_seconds: Annotated[
        float, Field(gt=0, description="Time between two of the learner's checkpoints.")
    ] = 30.0
    label_grace_seconds: Annotated[
        float,
        Field(
            ge=0, description="How long a label waits for its transaction before it becomes a dead letter."
        ),
    ] = 600.0
    batch: Annotated[
        Literal["off", "on"],
        Field(
            description="Whether a backtest, and a demo, fit LightGBM again and again; in production that is"
            " what `worker --role fit` is started for."
        ),
    ] = "off"
    batch_every_days: Annotated[
        float,
        Field(
            gt=0,
            le=400,
            description="Label time from one fit of LightGBM to the next, in days; alarms ask for more.",
        ),
    ] = 3.0
    batch_window_days: Annotated[
        float,
        Field(gt=0, le=400, description="How far back in label time the labels lie that it is fitted on."),
    ] = 28.0
    batch_min_frauds: Annotated[
        int, Field(ge=1, description="With fewer frauds than this among them it is not fitted.")
    ] = 200
    batch_negative_rate: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Share of the legitimate transactions that it is fitted on; halved whenever"
            " `batch_rows` would be exceeded.",
        ),
    ] = 1.0
    batch_rows: Annotated[
        int,
        Field(
            ge=1_000,
            description="Most transactions that it is fitted on; 350 bytes of memory each.",
        ),
    ] = 400_000
    signing_key: Annotated[
        SecretStr | None,
        Field(
            min_length=_LEAST_KEY,
            description="Signs snapshots and checkpoints (HMAC-SHA256); unset: they are only checksummed.",
        ),
    ] = None
    signing_keys_accepted: Annotated[
        SecretStr | None,
        Field(
            description="Further keys, comma-separated, whose signatures are accepted: while keys change, the"
            " next one, and then the one before."
        ),
    ] = None

    webhook_token: Annotated[
        SecretStr | None,
        Field(min_length=1, description="Sent by `alerts --webhook` as a bearer token, if it is set."),
    ] = None
    case_store: Annotated[
        SecretStr | None,
        Field(
            description="PostgreSQL of the cases that analysts work on, for `cases`, `verdict` and `desk`:"
            " postgresql://USER@HOST/DATABASE?sslmode=verify-full, and all else that libpq knows."
        ),
    ] = None
    case_days: Annotated[
        float,
        Field(
            gt=0,
            le=3650,
            description="How long an alert and all that belongs to it stays in the case store, in days since"
            " it was scored; other transactions stay FRAUD_PENDING_DAYS, and no longer than that.",
        ),
    ] = 180.0
    desk_users: Annotated[
        SecretStr | None,
        Field(
            description="Who may log in at the desk: NAME:ROLE:FINGERPRINT, comma-separated, as"
            " `fraudstream desk-user NAME` makes them."
        ),
    ] = None
    desk_host: Annotated[str, Field(description="Address that the desk is served on, over http.")] = (
        "127.0.0.1"
    )
    desk_port: Annotated[
        int, Field(ge=0, le=65_535, description="Port that the desk is served on; 0 takes any free one.")
    ] = 8090
    cases_metrics_port: Annotated[
        int,
        Field(
            ge=0,
            le=65_535,
            description="Port that `cases` serves metrics and health on, at FRAUD_HTTP_HOST; 0 takes any free"
            " one.",
        ),
    ] = 8091
    desk_metrics_port: Annotated[
        int,
        Field(
            ge=0,
            le=65_535,
            description="Port that `desk` serves its metrics on, at FRAUD_HTTP_HOST, apart from its pages; 0"
            " takes any free one.",
        ),
    ] = 8092
    label_rates: Annotated[
        dict[LabelSource, Annotated[float, Field(gt=0)]],
        NoDecode,
        Field(
            description="Most labels an hour of a source, SOURCE=NUMBER, comma-separated; others become dead"
            " letters, to be redriven. Sources that are not named: any number.",
        ),
    ] = Field(default_factory=dict)
    label_weights: Annotated[
        dict[LabelSource, Annotated[float, Field(ge=0, le=1)]],
        NoDecode,
        Field(
            description="Share of a source's labels that models learn, SOURCE=SHARE, comma-separated; others"
            " are judged and counted all the same. Sources that are not named: 1.",
        ),
    ] = Field(default_factory=dict)
    tokenise: Annotated[
        Tokenised,
        Field(
            description="What becomes a token before anything is kept of it: cards (card numbers), customers"
            " (every customer_id as well) or off."
        ),
    ] = "cards"
    token_key: Annotated[
        SecretStr | None,
        Field(
            min_length=16,
            validate_default=True,
            description="Makes tokens (HMAC-SHA256); the same for all, and for good: another makes other"
            " tokens. Unset: a record whose identifier is a card number is refused.",
        ),
    ] = None

    @property
    def tokens(self) -> Tokens:
        """What makes tokens as these settings have it."""
        return Tokens(self.tokenise, self.token_key.get_secret_value().encode() if self.token_key else None)

    @field_validator("token_key")
    @classmethod
    def _is_there(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and info.data.get("tokenise") == "customers":
            raise ValueError(
                "FRAUD_TOKENISE=customers makes tokens, which needs a key of 16 characters or more"
            )
        return value

    @field_validator("label_rates", "label_weights", mode="before")
    @classmethod
    def _by_source(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        # Another tool may write a dict as one, which reads the same.
        pairs = (
            pair.replace(":", "=").partition("=") for pair in value.strip("{} ").split(",") if pair.strip()
        )
        return {name.strip(" \"'"): number.strip() for name, _, number in pairs}

    @field_validator("challengers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        # A JSON list, which other tools write for a tuple, reads the same.
        names = (name.strip(" \"'") for name in value.strip("[] ").split(","))
        return [name for name in names if name]

    @field_validator("signing_keys_accepted")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and any(len(key) < _LEAST_KEY for key in _keys(value)):
            raise ValueError(f"each key needs at least {_LEAST_KEY} characters")
        return value

    @model_validator(mode="after")
    def _one_signs(self) -> "Settings":
        if self.signing_keys_accepted is not None and self.signing_key is None:
            raise SettingsError("FRAUD_SIGNING_KEYS_ACCEPTED is set without FRAUD_SIGNING_KEY; set that too")
        return self

    def keyring(self) -> Keyring | None:
        """Return the keys that models and checkpoints are signed with; None where nothing is signed."""
        accepted = _keys(self.signing_keys_accepted) if self.signing_keys_accepted is not None else []
        if self.signing_key is None:
            return None
        signing = self.signing_key.get_secret_value()
        return Keyring(signing.encode(), tuple(key.encode() for key in accepted))


def _keys(value: SecretStr) -> list[str]:
    return [key.strip() for key in value.get_secret_value().split(",")]


def load_settings(**overrides: Any) -> Settings:
    """Read the environment.

    Parameters
    ----------
    **overrides
        Settings by name that take precedence, such as a command's options; None is no override.

    Raises
    ------
    SettingsError
        One sentence: which setting, what is wrong with it, what to do.

    Examples
    --------
    >>> load_settings(partitions=8).partitions
    8
    >>> load_settings(partitions=0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    stream.errors.SettingsError: FRAUD_PARTITIONS=0: input should be greater than or equal to 1; ...
    """
    if (url := overrides.get("redis")) and part_login(url)[2] is not None:
        raise SettingsError(
            "--redis has a password in it, which everybody on this machine may see; set FRAUD_REDIS_PASSWORD"
            " or FRAUD_REDIS_PASSWORD_FILE"
        )
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        field = Settings.model_fields.get(name)
        help_ = (field.description or "") if field else "no setting has this name"
        value = "***" if field is None or is_secret(field) else first["input"]
        raise SettingsError(
            f"FRAUD_{name.upper()}={value}: {_lower(first['msg'])}; {_lower(help_)}"
        ) from None


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
