#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prints as JSON what TensorBoard shows of the runs in a folder, by its own code.

    read_events.py LOGDIR

{"scalars": {tag: [[step, value], ...]},             the Scalars tab
 "histograms": {tag: [[step, [[left, right, count], ...]], ...]},
 "hparams": {name: value}, "status": "STATUS_SUCCESS", "metrics": {tag: value}}   the HParams tab

Of one run: TensorBoard calls each folder with event files a run.
"""

import json
import sys

from google.protobuf import json_format
from tensorboard import context
from tensorboard.backend.event_processing import data_provider
from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.data import provider
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import backend_context
from tensorboard.plugins.hparams import list_session_groups

ALL = 1 << 30
CONTEXT = context.RequestContext()


def load(logdir):
    # 0: all points. TensorBoard itself keeps a sample of 1000 of each tag.
    multiplexer = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance={
        "scalars": 0, "histograms": 0, "hparams": 0})
    multiplexer.AddRunsFromDirectory(logdir)
    multiplexer.Reload()
    return data_provider.MultiplexerDataProvider(multiplexer, logdir)


def only_run(runs, what):
    if len(runs) > 1:
        sys.exit(f"read_events.py: {what} of several runs: {sorted(runs)}")
    return next(iter(runs.values()), {})


def scalars(source):
    runs = source.read_scalars(CONTEXT, experiment_id="", plugin_name="scalars", downsample=ALL)
    return {tag: [[point.step, point.value] for point in points]
            for tag, points in only_run(runs, "scalars").items()}


def histograms(source):
    runs = source.read_tensors(CONTEXT, experiment_id="", plugin_name="histograms", downsample=ALL)
    return {tag: [[point.step, point.numpy.tolist()] for point in points]
            for tag, points in only_run(runs, "histograms").items()}


def hparams_tab(source):
    plugin_context = backend_context.Context(base_plugin.TBContext(data_provider=source))
    statuses = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE,
                api_pb2.STATUS_RUNNING]
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0, slice_size=ALL, allowed_statuses=statuses,
        aggregation_type=api_pb2.AGGREGATION_AVG)
    groups = list_session_groups.Handler(CONTEXT, plugin_context, "", request).run().session_groups
    if len(groups) != 1 or len(groups[0].sessions) != 1:
        return {"hparams": {}, "status": "", "metrics": {}}
    session = groups[0].sessions[0]
    return {
        "hparams": {name: json_format.MessageToDict(value)
                    for name, value in groups[0].hparams.items()},
        "status": api_pb2.Status.Name(session.status),
        "metrics": {value.name.tag: value.value for value in session.metric_values},
    }


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    source = load(sys.argv[1])
    shown = {"scalars": scalars(source), "histograms": histograms(source)}
    shown.update(hparams_tab(source))
    json.dump(shown, sys.stdout)


if __name__ == "__main__":
    main()
