"""Roles: KerasTuner's variables, read as KerasTuner reads them."""

import pytest
from keras_tuner.src.distribute import utils

from pipelines.search.roles import ORACLE_IP, ORACLE_PORT, TUNER_ID, role
from pipelines.search.tune import tune
from zoo.errors import InputError

SET = {TUNER_ID: "worker-3", ORACLE_IP: "10.0.0.7", ORACLE_PORT: "8000"}


@pytest.mark.parametrize("name", ["chief", "my-chief-0", "worker-3", "tuner0"])
def test_role_is_the_one_keras_tuner_sees(name, monkeypatch):
    for variable, value in (SET | {TUNER_ID: name}).items():
        monkeypatch.setenv(variable, value)
    found = role()
    assert found is not None
    assert found.name == name
    assert str(found.address) == "10.0.0.7:8000"
    assert found.is_chief is utils.is_chief_oracle()


def test_no_role_without_an_address():
    assert role({}) is None
    assert role({TUNER_ID: "worker-1"}) is None


@pytest.mark.parametrize("missing", [TUNER_ID, ORACLE_PORT])
def test_missing_variable_is_named(missing):
    with pytest.raises(InputError, match=f"{ORACLE_IP} is set, and {missing} is not"):
        role({name: value for name, value in SET.items() if name != missing})


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "8000.0"])
def test_port_must_be_one(port):
    with pytest.raises(InputError, match=f"{ORACLE_PORT} is not a port; expected 1 to 65535"):
        role(SET | {ORACLE_PORT: port})


@pytest.mark.parametrize(
    ("name", "workers", "said"),
    [
        ("chief", 2, "--workers starts workers on this machine, KERASTUNER_ORACLE_IP waits for"),
        ("worker-1", 0, "worker-1 is a worker and has no run of its own"),
    ],
)
def test_role_that_does_not_fit_is_refused_before_anything_is_read(
    name, workers, said, monkeypatch, tmp_path
):
    for variable, value in (SET | {TUNER_ID: name}).items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=said):
        tune("no such folder", out=tmp_path / "run", workers=workers)
    assert not (tmp_path / "run").exists()
