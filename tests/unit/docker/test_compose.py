"""docker/compose.yaml and docker/Dockerfile: what starts with which profile, with which rights, limits and volumes.

No container is started here; `make smoke` does that.
"""

import re
import tomllib
from typing import Any

import pytest

from service.settings import Settings, read_settings, variable_of
from tests.conftest import PROJECT
from tests.unit.docker.composing import FOLDER, compose, named_volumes, services

PROFILES = {
    "rebuild": {"rebuild"},
    "replicas": {"replica", "proxy"},
    "gpu": {"gpu"},
    "milvus": {"milvus", "milvus-rebuild", "milvus-api"},
    "monitoring": {"prometheus", "grafana"},
    "train": {"train"},
}
SERVING = ("api", "replica", "gpu", "milvus-api")
ONE_SHOTS = ("rebuild", "milvus-rebuild", "train")
ALL = sorted(compose()["services"])


def stages() -> dict[str, str]:
    """The stages of the Dockerfile, each with its text."""
    parts = re.split(r"^FROM \S+ AS (\S+)$", (FOLDER / "Dockerfile").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_without_a_profile_the_service_and_its_cache_start() -> None:
    assert set(services()) == {"api", "redis"}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_adds_its_services(profile: str) -> None:
    assert set(services(profile)) == {"api", "redis", *PROFILES[profile]}


@pytest.mark.parametrize("name", ALL)
def test_images_are_pinned(name: str) -> None:
    image = compose()["services"][name]["image"]
    _, _, tag = image.partition(":")
    assert tag
    assert tag != "latest"
    # What is not built here has a version.
    assert image.startswith("aahr:") or re.match(r"v?\d+", tag)


def test_bases_are_pinned_and_can_be_named() -> None:
    bases = re.findall(r"^ARG \w+_IMAGE=(\S+)$", (FOLDER / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert len(bases) == 2
    assert all(re.search(r":\d+\.\d+", base) for base in bases)


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("milvus", "train")])
def test_a_container_has_no_right_that_it_does_not_need(name: str) -> None:
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", [*SERVING, *ONE_SHOTS])
def test_what_is_ours_has_an_init_and_no_root(name: str) -> None:
    service = compose()["services"][name]
    assert service["init"] is True
    assert service["user"] == "10001:10001"


@pytest.mark.parametrize("name", [name for name in ALL if name != "train"])
def test_memory_is_limited(name: str) -> None:
    assert re.fullmatch(r"\d+[mg]", compose()["services"][name]["mem_limit"])


@pytest.mark.parametrize("name", ALL)
def test_what_serves_starts_again_and_what_has_an_end_does_not(name: str) -> None:
    assert compose()["services"][name]["restart"] == ("no" if name in ONE_SHOTS else "unless-stopped")


@pytest.mark.parametrize("name", ALL)
def test_a_container_waits_until_what_it_needs_is_healthy(name: str) -> None:
    every = compose()["services"]
    for needed, how in every[name].get("depends_on", {}).items():
        assert set(every[needed].get("profiles", ())) <= set(every[name].get("profiles", ()))
        has_an_end = needed in ONE_SHOTS
        assert how == {"condition": "service_completed_successfully" if has_an_end else "service_healthy"}
        assert has_an_end or "healthcheck" in every[needed]
    assert "depends_on" in every[name] or name in ("redis", "milvus", "rebuild", "train")


@pytest.mark.parametrize("name", ALL)
def test_every_volume_is_declared(name: str) -> None:
    declared = compose()["volumes"]
    assert {volume for volume, _ in named_volumes(compose()["services"][name])} <= set(declared)


def test_no_volume_is_declared_in_vain() -> None:
    used = {volume for service in compose()["services"].values() for volume, _ in named_volumes(service)}
    assert used == set(compose()["volumes"])


@pytest.mark.parametrize("name", [*SERVING, "rebuild", "milvus-rebuild"])
def test_models_indexes_and_images_are_where_the_image_has_put_them(name: str) -> None:
    places = {folder: f"/srv/aahr/{folder}" for folder in ("models", "indexes", "images")}
    assert dict(named_volumes(compose()["services"][name])) == places


def test_a_folder_of_the_machine_takes_the_place_of_a_volume() -> None:
    mounted = compose({"IMAGES": "/home/me/Pictures"})["services"]["api"]["volumes"]
    assert "/home/me/Pictures:/srv/aahr/images" in mounted


@pytest.mark.parametrize("name", ALL)
def test_bound_files_exist(name: str) -> None:
    bound = [line.split(":")[0] for line in compose()["services"][name].get("volumes", ()) if line.startswith(".")]
    assert [path for path in bound if not (FOLDER / path).exists()] == []


@pytest.mark.parametrize("name", SERVING)
def test_the_environment_of_the_service_is_one_that_it_accepts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = compose()["services"][name]["environment"]
    assert set(given) <= {variable_of(field) for field in Settings.model_fields}
    for variable, value in given.items():
        monkeypatch.setenv(variable, "" if value is None else str(value))
    settings = read_settings(**({} if "AAHR_INDEX_DIR" in given else {"index_dir": "/srv/aahr/indexes/gallery"}))
    assert settings.redis_url is not None
    assert settings.allow_anonymous


def test_replicas_share_cache_keys_and_volumes_with_the_service() -> None:
    api, replica = compose()["services"]["api"], compose()["services"]["replica"]
    assert [replica[part] for part in ("image", "environment", "volumes", "networks", "user")] == [
        api[part] for part in ("image", "environment", "volumes", "networks", "user")
    ]
    assert "ports" not in replica
    assert replica["scale"] == 2


def test_the_proxy_finds_ready_containers_by_the_name_that_they_share() -> None:
    lines = [line.split() for line in (FOLDER / "proxy" / "haproxy.cfg").read_text().splitlines()]
    assert compose()["services"]["replica"]["networks"] == {"default": {"aliases": ["api"]}}
    assert ["server-template", "api", "16", "api:8000"] in lines
    # The check asks for a name that the service answers to.
    assert [
        "http-check",
        "send",
        "meth",
        "GET",
        "uri",
        "/health/ready",
        "ver",
        "HTTP/1.1",
        "hdr",
        "Host",
        "api",
    ] in lines
    assert "api" in compose()["services"]["api"]["environment"]["AAHR_ALLOWED_HOSTS"].split(",")
    # A client of the proxy is never one on the service's own machine.
    assert ["option", "forwardfor"] in lines


def test_only_the_machine_itself_reaches_a_port() -> None:
    ports = {name: service["ports"] for name, service in compose()["services"].items() if "ports" in service}
    assert set(ports) == {"api", "proxy", "gpu", "milvus-api", "prometheus", "grafana"}
    assert all(line.startswith("127.0.0.1:") for lines in ports.values() for line in lines)
    published = [line.split(":")[1] for lines in ports.values() for line in lines]
    assert len(set(published)) == len(published)


def test_every_target_is_a_stage_and_the_service_is_the_default() -> None:
    built = {service["build"]["target"] for service in compose()["services"].values() if "build" in service}
    assert built == {"service", "train", "gpu"}
    assert built <= set(stages())
    assert (FOLDER / "Dockerfile").read_text().rstrip().endswith("\nFROM service")


def test_builders_that_build_every_stage_up_to_the_target_need_no_other_base_for_the_service() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert text.index("AS service") < text.index("FROM ${CUDA_IMAGE}")
    assert text.index("AS service") < text.index("AS train-slim")


def test_torch_is_installed_only_where_models_are_trained_and_exported() -> None:
    with_torch = [name for name, text in stages().items() if re.search(r"pyproject\.toml train\b", text)]
    assert with_torch == ["build"]
    # Of that stage, the service takes the environment without torch and the gallery, the GPU's the gallery alone.
    gallery, environment = "--from=build --chown=10001:10001 /srv/aahr /srv/aahr", "--from=build /opt/aahr /opt/aahr"
    copied = {
        name: set(re.findall(r"^COPY (--from=build .*)$", stages()[name], re.MULTILINE)) for name in ("slim", "gpu")
    }
    assert copied == {"slim": {environment, gallery}, "gpu": {gallery}}
    assert (
        "/opt/aahr/bin/pip"
        not in re.findall(r"^RUN python -m venv /opt/train.*?(?=^COPY)", stages()["build"], re.M | re.S)[0]
    )


def test_the_health_check_of_the_service_is_that_of_its_image() -> None:
    (*_, program) = compose()["services"]["api"]["healthcheck"]["test"]
    assert program in stages()["service"]
    assert program in stages()["gpu"]


@pytest.mark.parametrize("name", ["service", "gpu", "train"])
def test_an_image_runs_as_nobody_of_this_machine(name: str) -> None:
    text = stages()[name]
    assert "USER 10001:10001" in text
    assert name == "train" or "HEALTHCHECK" in text


def pinned() -> dict[str, str]:
    lines = (FOLDER / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def requirements(document: dict[str, Any]) -> list[str]:
    extras = document["project"]["optional-dependencies"]
    chosen = [line for extra in ("cpu", "gpu", "milvus", "otel", "train", "coco") for line in extras[extra]]
    return [*document["build-system"]["requires"], *document["project"]["dependencies"], *chosen]


def test_every_package_of_an_image_is_pinned_to_a_version_that_is_allowed() -> None:
    def numbers(version: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", version)]

    pins = pinned()
    for line in requirements(tomllib.loads((PROJECT / "pyproject.toml").read_text())):
        name, how, least = re.match(r"([\w-]+)(?:\[\w+\])?(>=|==)([\d.]+)", line).groups()  # type: ignore[union-attr]
        found = pins[name.lower().replace("_", "-")]
        assert numbers(found) >= numbers(least), line
        assert how == ">=" or found == least, line


def test_what_the_image_is_made_from_gets_into_it() -> None:
    let_in = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {path.name for path in PROJECT.glob("*.py")} <= let_in
    copied = re.findall(r"docker/[\w-]+(?:\.txt)?", (FOLDER / "Dockerfile").read_text())
    assert {path for path in copied if path != "docker/Dockerfile"} <= let_in
    assert [path for path in let_in if not (PROJECT / path).exists()] == []
