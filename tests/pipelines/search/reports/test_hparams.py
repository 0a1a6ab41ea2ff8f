"""HParams: read back with TensorBoard's own reader."""

import numpy as np
import pytest
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import api_pb2, metadata

from pipelines.search.reports.hparams import write_hparams
from pipelines.storage.search_results import read_results
from tests.support.search_results import draw_search


def read_back(folder):
    """Returns the experiment, and of each session its start, its end and its scalars."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    experiment, sessions = None, {}
    for run in multiplexer.Runs():
        content = multiplexer.PluginRunToTagToContent(metadata.PLUGIN_NAME)[run]
        if metadata.EXPERIMENT_TAG in content:
            experiment = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG])
            continue
        start = content[metadata.SESSION_START_INFO_TAG]
        end = content[metadata.SESSION_END_INFO_TAG]
        scalars = {
            tag: float(tensor.tensor_proto.float_val[0])
            for tag in multiplexer.GetAccumulator(run).Tags()["tensors"]
            if not tag.startswith("_hparams_")
            for tensor in multiplexer.Tensors(run, tag)
        }
        sessions[run] = (
            metadata.parse_session_start_info_plugin_data(start),
            metadata.parse_session_end_info_plugin_data(end),
            scalars,
        )
    return experiment, sessions


def plain(value):
    return getattr(value, value.WhichOneof("kind"))


@pytest.mark.parametrize("folds", [False, True])
def test_sessions_hold_each_trial(tmp_path, folds):
    search = draw_search(20, folds=folds, failed=2)
    search["objective"] = {"name": "val_accuracy", "direction": "max"}
    write_hparams(tmp_path / "search", read_results(search))
    experiment, sessions = read_back(tmp_path / "search")
    assert len(sessions) == len(search["trials"])
    for trial in search["trials"]:
        start, end, scalars = sessions[trial["id"]]
        told = {name: plain(value) for name, value in start.hparams.items()}
        hidden = trial["hyperparameters"]["head.hidden"]
        expected = trial["hyperparameters"] | {"head.hidden": str(hidden[0]) if hidden else "none"}
        assert told == expected
        assert start.group_name == trial["id"]
        fails = trial["status"] == "FAILED"
        assert end.status == (api_pb2.STATUS_FAILURE if fails else api_pb2.STATUS_SUCCESS)
        figures = {"val_accuracy": trial["score"], "val_accuracy_std": trial["score_std"]}
        assert scalars == pytest.approx({k: v for k, v in figures.items() if v is not None})
    names = [metric.name.tag for metric in experiment.metric_infos]
    assert names == ["val_accuracy", "val_accuracy_std"][: 1 + folds]


def test_experiment_tells_what_each_setting_may_be(tmp_path):
    search = draw_search(40)
    write_hparams(tmp_path / "search", read_results(search))
    experiment, _ = read_back(tmp_path / "search")
    infos = {info.name: info for info in experiment.hparam_infos}
    rates = [trial["hyperparameters"]["optimizer.learning_rate"] for trial in search["trials"]]
    interval = infos["optimizer.learning_rate"].domain_interval
    assert (interval.min_value, interval.max_value) == (np.min(rates), np.max(rates))
    words = [value.string_value for value in infos["penalty.name"].domain_discrete.values]
    assert words == ["elastic_net", "l1", "l2", "none"]
    assert infos["head.batch_norm"].type == api_pb2.DATA_TYPE_BOOL


def test_sessions_of_an_earlier_search_are_replaced(tmp_path):
    for count in (9, 4):
        write_hparams(tmp_path / "logs" / "search", read_results(draw_search(count)))
    assert len(read_back(tmp_path / "logs")[1]) == 4
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["search"]
