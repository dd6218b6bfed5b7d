"""The ``relay`` command: what it prints, and its exit status."""

import re
from collections.abc import Iterator

import pytest
from moto import mock_aws
from typer.testing import CliRunner

from relay_dagster import cli


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with mock_aws():
        yield CliRunner()


def exported(text: str) -> dict[str, str]:
    return dict(re.findall(r"^export (\w+)=(\S+)$", text, flags=re.MULTILINE))


def test_bootstrap_prints_a_line_for_each_variable_that_is_required(
    runner: CliRunner,
) -> None:
    result = runner.invoke(cli.app, ["server", "bootstrap"])
    assert result.exit_code == 0
    assert set(exported(result.stdout)) >= {
        "ARTIFACT_BUCKET",
        "RUNS_TABLE",
        "TENANTS_TABLE",
        "SQS_QUEUE_URL",
        "SQS_DLQ_URL",
        "WORKER_MAX_CONCURRENCY",
    }
    assert all(
        line.startswith("export ") for line in result.stdout.splitlines()
    )


def test_bootstrap_again_changes_nothing_says_so_and_prints_the_same(
    runner: CliRunner,
) -> None:
    first = runner.invoke(cli.app, ["server", "bootstrap"])
    assert "created bucket relay-inventory" in first.stderr
    assert "Nothing to change" not in first.stderr
    again = runner.invoke(cli.app, ["server", "bootstrap"])
    message = "Nothing to change: no resource is missing.\n"
    assert (again.stdout, again.stderr) == (first.stdout, message)


def test_a_queue_that_differs_from_the_variables_is_told(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in exported(
        runner.invoke(cli.app, ["server", "bootstrap"]).stdout
    ).items():
        monkeypatch.setenv(name, value)
    same = runner.invoke(cli.app, ["server", "bootstrap", "--check"])
    assert (same.exit_code, same.stdout) == (0, "")
    assert same.stderr == (
        "Nothing to change: the queue's attributes match the variables.\n"
    )
    monkeypatch.setenv("WORKER_POISON_MAX_RECEIVES", "7")
    result = runner.invoke(cli.app, ["server", "bootstrap", "--check"])
    assert result.exit_code == 1
    assert (
        "queue_misconfigured: RedrivePolicy.maxReceiveCount is 3, not 7"
        in result.stderr
    )


@pytest.mark.parametrize(
    "command",
    [
        ["server", "api"],
        ["server", "bootstrap", "--check"],
        ["server", "deletions"],
        ["server", "transfers"],
        ["server", "doctor"],
        ["server", "dlq", "list"],
    ],
    ids=" ".join,
)
def test_a_missing_variable_is_one_line_that_names_it_and_exit_status_2(
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["relay", *command])
    with pytest.raises(SystemExit) as system_exit:
        cli.main()
    assert system_exit.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ARTIFACT_BUCKET is not set")


def test_a_missing_home_of_dagster_is_one_line_that_names_it(
    runner: CliRunner,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in exported(
        runner.invoke(cli.app, ["server", "bootstrap"]).stdout
    ).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setattr("sys.argv", ["relay", "server", "deletions", "--once"])
    with pytest.raises(SystemExit) as system_exit:
        cli.main()
    assert system_exit.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "DAGSTER_HOME must name the folder of dagster.yaml"


def test_a_bad_number_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["relay", "server", "bootstrap"])
    monkeypatch.setenv("WORKER_POISON_MAX_RECEIVES", "many")
    with pytest.raises(SystemExit) as system_exit:
        cli.main()
    assert system_exit.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "WORKER_POISON_MAX_RECEIVES must be a whole number, not 'many'"
    )
