"""Prometheus and Grafana as compose.yaml starts them: that what they ask for is what the service tells."""

import json
import re
from functools import cache
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.obs.metrics import Metrics
from service.obs.observers import STAGES
from tests.unit.docker.composing import FOLDER, compose

MONITORING = FOLDER / "monitoring"
GRAFANA = MONITORING / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "aahr.json").read_text())
QUERIES = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]
# Of Prometheus itself.
LABELS_OF_SCRAPES = {"job", "instance", "le"}


def read(*parts: str) -> Any:
    return yaml.safe_load(MONITORING.joinpath(*parts).read_text())


@cache
def served() -> dict[str, set[str]]:
    """The series that the service shows, each with its labels."""
    metrics = Metrics()
    metrics.expect_routes([("/search", ["POST"])])
    metrics.serve_generation("000001", "model")
    shown: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            shown.setdefault(sample.name, set()).update(sample.labels)
    return shown


@pytest.mark.parametrize(("panel", "query"), QUERIES)
def test_a_panel_asks_for_series_and_labels_that_exist(panel: str, query: str) -> None:
    names = set(re.findall(r"\b(?:aahr|process)_\w+", query))
    assert names, panel
    assert names <= set(served())
    labels = {name for listed in re.findall(r"by \(([^)]*)\)", query) for name in listed.split(", ")}
    labels |= set(re.findall(r"(\w+)=~?\"", query))
    known = set().union(*(served()[name] for name in names))
    assert labels <= known | LABELS_OF_SCRAPES


@pytest.mark.parametrize(("panel", "query"), QUERIES)
def test_a_query_is_closed_and_counters_are_rates(panel: str, query: str) -> None:
    assert query.count("(") == query.count(")"), panel
    assert query.count("{") == query.count("}")
    for name in re.findall(r"\b\w+_(?:total|sum|count|bucket)\b(?![^{]*=)", query):
        assert re.search(rf"(?:rate|increase)\({name}", query), f"{panel}: {name} only ever grows"


def test_legends_name_labels_that_the_query_keeps() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            kept = {name for listed in re.findall(r"by \(([^)]*)\)", target["expr"]) for name in listed.split(", ")}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept | {"instance"}, panel["title"]


def test_every_family_of_the_service_is_on_the_dashboard() -> None:
    asked = " ".join(query for _, query in QUERIES)
    families = {re.sub(r"_(total|sum|count|bucket)$", "", name) for name in served() if name.startswith("aahr_")}
    assert {family for family in families if family not in asked} == set()
    assert STAGES


def test_panels_lie_side_by_side() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_panels_ask_the_source_that_is_provisioned() -> None:
    (source,) = read("grafana", "provisioning", "datasources", "prometheus.yml")["datasources"]
    asked = {target["datasource"]["uid"] for panel in DASHBOARD["panels"] for target in panel["targets"]}
    assert asked == {source["uid"]}
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert "prometheus" in compose()["services"]


def test_the_dashboard_is_where_grafana_looks() -> None:
    (provider,) = read("grafana", "provisioning", "dashboards", "aahr.yml")["providers"]
    grafana = compose()["services"]["grafana"]
    places = dict(line.removesuffix(":ro").split(":") for line in grafana["volumes"])
    assert places["./monitoring/grafana/dashboards"] == provider["options"]["path"]
    assert places["./monitoring/grafana/provisioning"] == "/etc/grafana/provisioning"
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/aahr.json"


def test_prometheus_scrapes_every_container_of_the_service() -> None:
    (job,) = read("prometheus.yml")["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert (job["job_name"], job["metrics_path"]) == ("aahr", "/metrics")
    assert (found["names"], found["type"], found["port"]) == (["api"], "A", 8000)
    assert compose()["services"]["replica"]["networks"]["default"]["aliases"] == found["names"]
