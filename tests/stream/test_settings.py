import pytest

from stream.errors import SettingsError
from stream.registry.seal import Keyring
from stream.settings import Settings, load_settings


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_BROKER", "kafka-1:9092,kafka-2:9092")
    monkeypatch.setenv("FRAUD_CHALLENGERS", "forest, tree")
    settings = load_settings()
    assert settings.broker == "kafka-1:9092,kafka-2:9092"
    assert settings.challengers == ("forest", "tree")


def test_an_option_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_PARTITIONS", "8")
    assert load_settings(partitions=2, broker=None).partitions == 2


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("FRAUD_PARTITIONS", "many", "FRAUD_PARTITIONS=many"),
        ("FRAUD_ALERT_THRESHOLD", "0", "greater than 0"),
        ("FRAUD_DECISION", "chance", "'budget', 'cost' or 'threshold'"),
        ("FRAUD_ALERT_BUDGET", "0", "greater than 0"),
        ("FRAUD_ALERT_BUDGET", "inf", "finite number"),
        ("FRAUD_REVIEW_COST", "-1", "greater than 0"),
        ("FRAUD_REVIEW_COST", "nan", "finite number"),
        ("FRAUD_LOSS_SHARE", "1.5", "less than or equal to 1"),
        ("FRAUD_BROKER", "localhost", "not HOST:PORT"),
        ("FRAUD_ROLE", "both", "'score', 'learn', 'fit' or 'all'"),
        ("FRAUD_NAMESPACE", "Ö", "FRAUD_NAMESPACE"),
        ("FRAUD_CHALLENGERS", "a,b,c,d,e,f,g,h,i", "at most 8"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert name in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_signing_key_is_in_no_text() -> None:
    settings = load_settings(signing_key="hush-hush-hush-hush")
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings.signing_key)


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_settings_of_another_way_to_decide_are_no_trouble() -> None:
    assert load_settings(decision="budget", review_cost=3.0).review_cost == 3.0


def test_keys_that_are_accepted_are_a_list_beside_the_one_that_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().keyring() is None
    monkeypatch.setenv("FRAUD_SIGNING_KEYS_ACCEPTED", "the key from before, the key after that")
    with pytest.raises(SettingsError, match="FRAUD_SIGNING_KEYS_ACCEPTED is set without FRAUD_SIGNING_KEY"):
        load_settings()
    monkeypatch.setenv("FRAUD_SIGNING_KEY", "the key of the day")
    assert load_settings().keyring() == Keyring(
        b"the key of the day", (b"the key from before", b"the key after that")
    )
    monkeypatch.setenv("FRAUD_SIGNING_KEYS_ACCEPTED", "the key from before,short")
    with pytest.raises(SettingsError, match=r"FRAUD_SIGNING_KEYS_ACCEPTED=\*\*\*: .*at least 16") as caught:
        load_settings()
    assert "short" not in str(caught.value)


def test_rates_and_weights_are_given_by_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_LABEL_RATES", "analyst=500, chargeback=20000")
    monkeypatch.setenv("FRAUD_LABEL_WEIGHTS", "analyst=0.5")
    settings = load_settings()
    assert settings.label_rates == {"analyst": 500, "chargeback": 20_000}
    assert settings.label_weights == {"analyst": 0.5}


@pytest.mark.parametrize("value", ["rumour=5", "analyst", "analyst=-1", "analyst=many"])
def test_a_wrong_rate_is_one_sentence(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FRAUD_LABEL_RATES", value)
    with pytest.raises(SettingsError, match="FRAUD_LABEL_RATES") as caught:
        load_settings()
    assert "\n" not in str(caught.value)
