"""docker-compose.yml and the Dockerfile: what they name exists, and nothing is left to chance."""

import json
import os
import re
import subprocess
from typing import Any

import click
import pytest
import yaml

from grafana.desk import CASE_PAGE
from grafana.panels import DOCUMENTATION
from stream.cli import main
from stream.settings import Settings, load_settings
from tests.promql import ROOT
from tests.services.availability import compose

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "fraudstream:local"}
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def every(services: dict[str, dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("service", services.values(), ids=services.keys())


def test_the_whole_system_is_there() -> None:
    assert set(SERVICES) == {
        *("kafka", "redis", "topics-init", "scorer", "learner", "fitter", "simulator"),
        *("postgres", "cases-init", "cases", "desk"),
        *("prometheus", "alertmanager", "grafana", "docs"),
    }


@every(SERVICES)
def test_images_are_pinned_to_a_release(service: dict[str, Any]) -> None:
    if service in OURS.values():
        assert service["build"] == "."
    else:
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", service["image"])


@every(SERVICES)
def test_every_service_has_a_health_check_or_a_reason_for_none(service: dict[str, Any]) -> None:
    check = service.get("healthcheck")
    if check is None:
        # The image's own, which asks a worker's /health/live.
        assert service["command"][0] == "worker"
    elif check.get("disable"):
        assert service["x-no-health-check"]
    else:
        assert check["test"][0] == "CMD"


@every(SERVICES)
def test_every_service_says_whether_it_is_restarted(service: dict[str, Any]) -> None:
    assert service["restart"] in {"unless-stopped", "on-failure", "no"}


@every(OURS)
def test_environment_variables_are_settings_with_good_values(
    service: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in service["environment"].items():
        assert name.removeprefix("FRAUD_").lower() in Settings.model_fields
        if value is not None:
            monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.broker == "kafka:9092"
    assert settings.redis == "redis://redis:6379/0"


@every(OURS)
def test_commands_and_their_options_exist(service: dict[str, Any]) -> None:
    """Parsed by the command line itself, which knows its options; nothing is run."""
    command: click.Command = main
    arguments = list(service["command"])
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, arguments.pop(0))
        assert found is not None
        command = found
    command.make_context(command.name, arguments, parent=context)


@every(SERVICES)
def test_mounted_files_exist_and_are_read_only(service: dict[str, Any]) -> None:
    for volume in service.get("volumes", ()):
        source, target, *mode = volume.split(":")
        assert target.startswith("/")
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]


def test_what_a_command_reads_is_mounted() -> None:
    for service in SERVICES.values():
        mounted = [volume.split(":")[1] for volume in service.get("volumes", ())]
        for argument in service.get("command", ()):
            path = re.search(r"=(/\S+)$", str(argument))
            assert path is None or path[1].startswith(tuple(mounted)), argument


def test_prometheus_finds_its_rules_and_targets_where_they_are_mounted() -> None:
    config = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    named = [*config["rule_files"]]
    for job in config["scrape_configs"]:
        named += [file for found in job.get("file_sd_configs", ()) for file in found["files"]]
    mounted = _mounted("prometheus")
    for pattern in named:
        folder, _, files = f"/etc/prometheus/{pattern}".rpartition("/")
        assert [*(ROOT / mounted[folder]).glob(files)], pattern


def test_grafana_has_every_variable_that_its_sources_ask_for_and_no_other() -> None:
    sources = ROOT / _mounted("grafana")["/etc/grafana/provisioning"] / "datasources"
    asked = {
        name for file in sources.iterdir() for name in re.findall(r"\$\{?([A-Z][A-Z_]+)", file.read_text())
    }
    environment = SERVICES["grafana"]["environment"]
    assert {name for name in environment if not name.startswith("GF_")} == asked
    user, host = environment["CASE_STORE_USER"], environment["CASE_STORE_HOST"]
    reader = (ROOT / _mounted("postgres")["/docker-entrypoint-initdb.d/reader.sql"]).read_text()
    assert f"CREATE ROLE {user} LOGIN" in reader
    assert f"FOR ROLE {SERVICES['postgres']['environment']['POSTGRES_USER']} " in reader
    assert host == "postgres:5432"
    assert environment["CASE_STORE_DATABASE"] == SERVICES["postgres"]["environment"]["POSTGRES_DB"]


def test_grafanas_first_page_is_a_dashboard_that_is_mounted() -> None:
    first = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    folder, _, name = first.rpartition("/")
    assert (ROOT / _mounted("grafana")[folder] / name).exists()


def test_the_case_store_is_the_one_that_postgres_makes() -> None:
    made = SERVICES["postgres"]["environment"]
    wanted = f"postgresql://{made['POSTGRES_USER']}@postgres/{made['POSTGRES_DB']}"
    users = {name for name, it in OURS.items() if "FRAUD_CASE_STORE" in it["environment"]}
    assert users == {"cases-init", "cases", "desk"}
    assert {OURS[name]["environment"]["FRAUD_CASE_STORE"] for name in users} == {wanted}


def test_the_desk_is_where_it_says_and_where_the_dashboard_leads() -> None:
    desk = SERVICES["desk"]
    port = Settings.model_fields["desk_port"].default
    assert desk["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"127.0.0.1:{port}/health/ready" in desk["healthcheck"]["test"][-1]
    assert f"http://localhost:{port}" == CASE_PAGE
    assert desk["environment"]["FRAUD_DESK_USERS"] is None


def test_the_filler_is_asked_for_its_health_where_it_tells_of_it() -> None:
    port = Settings.model_fields["cases_metrics_port"].default
    assert f"127.0.0.1:{port}/health/live" in SERVICES["cases"]["healthcheck"]["test"][-1]


def test_published_ports_are_those_that_the_services_listen_on() -> None:
    listened = {
        "kafka": set(re.findall(r":(\d+)", SERVICES["kafka"]["environment"]["KAFKA_LISTENERS"])),
        "docs": {argument.split(":")[1] for argument in SERVICES["docs"]["command"] if ":" in argument},
        "desk": {str(Settings.model_fields["desk_port"].default)},
        # What they listen on when nobody says otherwise.
        "prometheus": {"9090"},
        "alertmanager": {"9093"},
        "grafana": {"3000"},
    }
    published = {
        name: {port.split(":")[2] for port in service["ports"]}
        for name, service in SERVICES.items()
        if "ports" in service
    }
    assert published.keys() == listened.keys()
    for name, ports in published.items():
        assert ports <= listened[name], name


def test_every_named_volume_is_used() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert set(COMPOSE["volumes"]) <= used


@every(SERVICES)
def test_published_ports_are_this_machines_own(service: dict[str, Any]) -> None:
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:")


@every(SERVICES)
def test_who_waits_for_whom_exists_and_has_what_is_waited_for(service: dict[str, Any]) -> None:
    for name, how in service.get("depends_on", {}).items():
        other = SERVICES[name]
        if how["condition"] == "service_healthy":
            assert not other.get("healthcheck", {}).get("disable")
        else:
            assert how["condition"] == "service_completed_successfully"
            assert other["restart"] == "on-failure"


def test_no_secret_is_written_down() -> None:
    text = (ROOT / "docker-compose.yml").read_text() + DOCKERFILE
    for line in text.splitlines():
        assert not re.search(r"(?i)(password|secret|token|signing_key)\s*[:=]\s*\S", line), line
    assert all(service["environment"]["FRAUD_SIGNING_KEY"] is None for service in OURS.values())


def test_there_are_no_more_scorers_than_partitions() -> None:
    scorer = SERVICES["scorer"]
    assert 2 <= scorer["deploy"]["replicas"] <= int(scorer["environment"]["FRAUD_PARTITIONS"])


def test_prometheus_finds_the_workers_by_the_names_of_their_services() -> None:
    config = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    (workers,) = (job for job in config["scrape_configs"] if job["job_name"] == "fraudstream")
    names, *others = workers["dns_sd_configs"]
    assert set(names["names"]) == {name for name, it in OURS.items() if it["command"][0] == "worker"}
    assert f"FRAUD_HTTP_PORT={names['port']}" in DOCKERFILE
    for each in others:
        [name] = each["names"]
        assert OURS[name]["command"][0] == name
        assert each["port"] == Settings.model_fields[f"{name}_metrics_port"].default
    assert {each["names"][0] for each in others} == {"cases", "desk"}
    (alertmanagers,) = config["alerting"]["alertmanagers"]
    (configs,) = alertmanagers["static_configs"]
    assert configs["targets"] == ["alertmanager:9093"]


def test_the_documentation_is_served_where_alerts_and_dashboards_link_to() -> None:
    [port] = SERVICES["docs"]["ports"]
    assert f"http://localhost:{port.split(':')[1]}" == DOCUMENTATION


def test_redis_evicts_nothing_and_writes_down_everything() -> None:
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--appendonly"] == "yes"


@every(OURS)
def test_a_container_of_ours_can_write_nothing_and_gain_no_rights(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [place.partition(":")[0] for place in service["tmpfs"]] == ["/tmp"]  # noqa: S108 - the container's
    assert not {"privileged", "cap_add", "user", "pid", "network_mode", "volumes"} & service.keys()


def test_the_image_is_pinned_and_does_not_run_as_root() -> None:
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.12\.\d+-slim-\w+", bases.pop())
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE) == ["fraudstream"]


def test_the_image_checks_that_a_worker_lives() -> None:
    assert re.search(r"^HEALTHCHECK .*\\\n.*/health/live", DOCKERFILE, re.MULTILINE)


def test_environment_of_the_image_is_settings() -> None:
    for name in re.findall(r"\bFRAUD_([A-Z_]+)=", DOCKERFILE):
        assert name.lower() in Settings.model_fields


def test_what_the_image_copies_exists_and_reaches_the_builder() -> None:
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert set(copied) == allowed
    assert all((ROOT / source).exists() for source in copied)


def _mounted(name: str) -> dict[str, str]:
    """Return what a service has mounted of ours: from the place within it to the place here."""
    volumes = (volume.split(":") for volume in SERVICES[name]["volumes"])
    return {target: source for source, target, *_ in volumes if source.startswith(".")}


def composed(*arguments: str) -> str:
    """Return what Docker Compose says of the file; with warnings it is the assertion's message."""
    program = compose()
    assert program is not None
    done = subprocess.run(
        [*program, "--file", str(ROOT / "docker-compose.yml"), "config", *arguments],
        # A shell without any of our variables, and a Docker without its files.
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.service("compose")
def test_compose_itself_accepts_the_file_and_warns_of_nothing() -> None:
    composed("--quiet")


@pytest.mark.service("compose")
def test_compose_reads_the_file_as_these_tests_do() -> None:
    """Anchors are merged by its own YAML, ports and volumes are taken apart by its own rules."""
    read = json.loads(composed("--format", "json"))["services"]
    assert read.keys() == SERVICES.keys()
    for name, service in SERVICES.items():
        given = read[name]
        assert given.get("command") == service.get("command"), name
        assert {key: value for key, value in given.get("environment", {}).items() if value is not None} == {
            key: value for key, value in service.get("environment", {}).items() if value is not None
        }, name
        assert {
            f"{port['host_ip']}:{port['published']}:{port['target']}" for port in given.get("ports", ())
        } == set(service.get("ports", ())), name
        for volume in given.get("volumes", ()):
            assert volume["type"] == "volume" or volume.get("read_only"), name
        assert set(given.get("depends_on", {})) == set(service.get("depends_on", {})), name
