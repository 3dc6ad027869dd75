"""Does the README say what a stage costs, computed from the template and nothing else?"""

import copy
import re
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from layers.build import ROOT
from local.docs import costs
from local.docs.costs import HOURS, PRICES, Row, Stack
from local.intrinsics import TemplateRefused, read_yaml


@pytest.fixture(scope="module")
def declared() -> dict[str, Any]:
    return read_yaml(ROOT / "template.yaml")


def _bill(template: dict[str, Any], stage: str, **changed: str) -> Mapping[str, Row]:
    samconfig = tomllib.loads((ROOT / "samconfig.toml").read_text())
    given = {**costs.parameters(samconfig, stage), **changed}
    rows = costs.rows(Stack(template, given))
    names = (
        *("way_out", "address", "capacity", "storage", "keys", "secrets", "snapshots"),
        *("polling", "sweeps", "alarms", "metrics", "health_check"),
    )
    return dict(zip(names, rows, strict=True))


def test_the_readme_is_what_the_template_says() -> None:
    """Finding 7.12: the README said 20 dollars where the template cost 28."""
    assert costs.main(["--check"]) == 0


def test_another_template_makes_the_readme_stale(
    declared: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = copy.deepcopy(declared)
    changed["Resources"]["OneMore"] = {"Type": "AWS::SecretsManager::Secret"}
    monkeypatch.setattr(costs, "read_yaml", lambda _path: changed)
    assert costs.main(["--check"]) == 1
    assert "make docs" in capsys.readouterr().err


def test_dev_pays_for_what_keeps_its_database_awake(declared: dict[str, Any]) -> None:
    """Finding 7.12: a frozen function's connection and the pause after it count, not the sweep alone."""
    rarely = _bill(declared, "dev")["capacity"].dollars
    firings = HOURS + HOURS + HOURS / 24 + HOURS / 24  # reconcile, tokens, digest, maintenance
    # Half a second for the sweep, which closes its connection, 5 minutes until the cluster pauses; half a unit.
    assert rarely == pytest.approx(firings * 300.5 / 3600 * 0.5 * 0.12)
    kept = copy.deepcopy(declared)
    kept["Globals"]["Function"]["Environment"]["Variables"]["DATABASE_MAY_SLEEP"] = "false"
    # 4 minutes until the server ends a connection that a frozen process keeps.
    assert _bill(kept, "dev")["capacity"].dollars == pytest.approx(firings * 9 / 60 * 0.5 * 0.12)
    often = _bill(declared, "dev", ReconcileRate="rate(1 minute)")["capacity"].dollars
    assert often == pytest.approx(HOURS * 0.5 * 0.12)
    asked = _bill(declared, "dev", HealthCheckFromOutside="on")
    assert asked["capacity"].dollars == pytest.approx(HOURS * 0.5 * 0.12)
    assert asked["health_check"].dollars == pytest.approx(1.5)


def test_polling_at_rest_is_counted(declared: dict[str, Any]) -> None:
    """Finding 7.12: every queue is polled all month, posts or not."""
    polled = _bill(declared, "dev")["polling"]
    assert polled.dollars == pytest.approx(13 * 5 * HOURS * 3600 / 20 * 0.4e-6)
    provisioned = _bill(declared, "prod", PublishPollers="2")["polling"]
    assert provisioned.dollars == pytest.approx(polled.dollars * 12 / 13 + 2 * HOURS * 0.00925)


def test_every_row_follows_its_parameter(declared: dict[str, Any]) -> None:
    dev, prod = _bill(declared, "dev"), _bill(declared, "prod")
    assert _bill(declared, "dev", Egress="gateway")["way_out"] == prod["way_out"]
    assert prod["way_out"].dollars == pytest.approx(HOURS * 0.045)
    assert dev["address"].dollars == prod["address"].dollars == pytest.approx(HOURS * 0.005)
    assert prod["capacity"].dollars == pytest.approx(2 * HOURS * 0.12)
    alone = _bill(declared, "prod", DatabaseStandby="false")["capacity"].dollars
    assert alone == pytest.approx(prod["capacity"].dollars / 2)
    assert dev["snapshots"].dollars == 0
    assert prod["snapshots"].dollars == pytest.approx(11 * HOURS * 3600 * 0.0000015046)
    mailed = _bill(declared, "dev", MailTransport="smtp", SmtpHost="mail.example.com")
    assert mailed["secrets"].dollars == pytest.approx(dev["secrets"].dollars + 0.4)
    detailed = _bill(declared, "dev", DetailedRouteMetrics="on")["metrics"].dollars
    assert detailed > dev["metrics"].dollars + 50


def test_alarms_are_counted_by_the_metrics_they_watch(declared: dict[str, Any]) -> None:
    alarms = [
        body["Properties"]
        for body in declared["Resources"].values()
        if body["Type"] == "AWS::CloudWatch::Alarm" and "Condition" not in body
    ]
    least = sum(str(alarm.get("Metrics", "'MetricStat'")).count("'MetricStat'") for alarm in alarms)
    assert _bill(declared, "dev")["alarms"].dollars >= least * 0.10 > 5


def test_a_rate_that_is_none_is_refused(declared: dict[str, Any]) -> None:
    with pytest.raises(TemplateRefused, match="cron"):
        _bill(declared, "dev", DigestRate="cron(0 8 * * ? *)")


def test_every_price_has_a_unit_and_a_source() -> None:
    for name, price in PRICES.items():
        assert price.dollars > 0, name
        assert price.unit, name
        assert price.source.startswith("aws.amazon.com/"), name
        assert re.fullmatch(r"(A\w+, 2026-0[89]-\d\d)?", price.compared), name


def test_the_readme_names_the_prices_that_nobody_has_compared() -> None:
    """Finding 7.12: prices were written from memory and looked like facts."""
    readme = (ROOT / "README.md").read_text()
    (listed,) = re.findall(r"^Not verified: (.+)\.$", readme, re.MULTILINE)
    assert listed.split(", ") == [
        name.replace("_", " ") for name, price in PRICES.items() if not price.compared
    ]


class TestSwitchedOff:
    @pytest.mark.parametrize("parameter", ["DetailedRouteMetrics", "Tracing"])
    def test_what_costs_and_nobody_reads_is_off(
        self, declared: dict[str, Any], parameter: str
    ) -> None:
        """Finding 7.12: detailed metrics and traces were paid for and unused."""
        assert declared["Parameters"][parameter]["Default"] == "off"
        samconfig = tomllib.loads((ROOT / "samconfig.toml").read_text())
        for stage in costs.STAGES:
            assert parameter not in costs.parameters(samconfig, stage)

    def test_the_parameters_decide(self, resources: dict[str, dict[str, Any]]) -> None:
        stage = resources["HttpApiApiGatewayDefaultStage"]["Properties"]
        assert stage["DefaultRouteSettings"]["DetailedMetricsEnabled"] == {
            "Fn::If": ["HasDetailedRouteMetrics", True, False]
        }
        traced = [
            found["Properties"]["TracingConfig"]["Mode"]
            for found in resources.values()
            if found["Type"] == "AWS::Lambda::Function"
        ]
        assert len(traced) > 10
        assert all(mode == {"Fn::If": ["HasTracing", "Active", "PassThrough"]} for mode in traced)

    def test_every_function_hears_whether_traces_are_wanted(
        self, functions: dict[str, dict[str, Any]]
    ) -> None:
        for function in functions.values():
            assert function["Environment"]["Variables"]["TRACING"] == {"Ref": "Tracing"}


@pytest.mark.parametrize("stage", costs.STAGES)
def test_a_stage_is_tagged(stage: str) -> None:
    """Finding 7.12: without tags nobody sees in the bill which stage costs what."""
    given = tomllib.loads((ROOT / "samconfig.toml").read_text())[stage]["deploy"]["parameters"]
    assert given["tags"].split() == ["Application=roost", f"Stage={stage}"]
